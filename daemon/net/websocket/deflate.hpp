// permessage-deflate (RFC 7692) without context takeover: each message by itself, so that one
// compressor serves all connections of a worker, and a connection can move to another worker
// between two messages.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "net/deflater.hpp"

namespace appserver::net::websocket {

// One a worker; loop thread only.
class Deflate final {
 public:
  Deflate();
  ~Deflate();
  Deflate(const Deflate&) = delete;
  Deflate& operator=(const Deflate&) = delete;

  // The payload of a compressed message; valid until the next call. Throws std::runtime_error where
  // zlib fails, which it does for want of memory only.
  std::string_view compress(std::string_view message);

  enum class Result { whole, malformed, too_long };
  // The message of a compressed payload, at most `limit` bytes.
  Result decompress(std::string_view payload, std::size_t limit, std::string& message);

 private:
  Deflater out_;
  z_stream in_{};
  std::string buffer_;
};

}  // namespace appserver::net::websocket
