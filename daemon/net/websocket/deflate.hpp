// permessage-deflate (RFC 7692) without context takeover: each message by itself, so that few
// states of zlib serve all connections of a worker, and a connection can move to another worker
// between two messages.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/deflater.hpp"
#include "net/websocket/inflater.hpp"

namespace appserver::net::websocket {

// One a worker; loop thread only.
class Deflate final {
 public:
  // The states are for one message each, and then to be given back: a message that is not done at
  // once keeps its own. Throw std::bad_alloc.
  std::unique_ptr<Deflater> lend_deflater();
  std::unique_ptr<Inflater> lend_inflater();
  void give_back(std::unique_ptr<Deflater> deflater) { out_ = std::move(deflater); }
  void give_back(std::unique_ptr<Inflater> inflater) { in_ = std::move(inflater); }

  // At once: the payload of a compressed message; valid until the next call. Throws
  // std::runtime_error where zlib fails, which it does for want of memory only.
  std::string_view compress(std::string_view message);

  using Result = Inflater::Result;
  // At once: the message of a compressed payload, at most `limit` bytes.
  Result decompress(std::string_view payload, std::size_t limit, std::string& message);

 private:
  std::unique_ptr<Deflater> out_;
  std::unique_ptr<Inflater> in_;
  std::string buffer_;
};

}  // namespace appserver::net::websocket
