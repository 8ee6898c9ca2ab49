// The decompressor of permessage-deflate (RFC 7692, section 7.2.2), a bounded piece of a message at
// a time.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace appserver::net::websocket {

// Behind each message (RFC 7692, 7.2.1 and 7.2.2).
inline constexpr std::string_view kDeflateTail{"\x00\x00\xff\xff", 4};

// One state of zlib. Loop thread only.
class Inflater final {
 public:
  // Throws std::bad_alloc.
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Another message begins.
  void reset();

  enum class Result { whole, unfinished, malformed, too_long };
  // Appends what comes next of the message of `payload`, which is the same in each call, to
  // `message`, which grows to `limit` bytes at most; unfinished: by about `most` bytes.
  Result run(std::string_view payload, std::size_t limit, std::size_t most, std::string& message);

 private:
  z_stream stream_{};
  std::size_t taken_ = 0;    // of the payload and its tail
  bool has_output_ = false;  // zlib may give more without more of them
};

}  // namespace appserver::net::websocket
