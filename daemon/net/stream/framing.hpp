// How the bytes of a stream become messages, and messages bytes. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace appserver::net::stream {

// What a message is; abi/stream.h has the rules.
enum class Framing : std::uint8_t {
  raw,    // whatever has come
  text,   // a line
  frame,  // behind four bytes of length, which count themselves
};

struct Cut {
  enum class Kind { incomplete, message, malformed, too_long };
  Kind kind = Kind::incomplete;
  std::size_t size = 0;      // of the message with its framing, from the beginning of the data
  std::string_view message;  // without it; within the data
};

// The first message of `data`, which is not empty. `seen`: so many of its bytes were looked at
// before, and there was no whole message in them.
Cut cut(Framing framing, std::string_view data, std::size_t max_message, std::size_t seen);

// Whether append() could make bytes of it that cut() makes the same message of.
bool can_append(Framing framing, std::string_view message, std::size_t max_message);
void append(std::string& out, Framing framing, std::string_view message);

}  // namespace appserver::net::stream
