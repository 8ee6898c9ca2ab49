#include "net/websocket/deflate.hpp"

#include <limits>
#include <utility>

namespace appserver::net::websocket {
namespace {

constexpr std::size_t kMostKept = std::size_t{1} << 20;

}  // namespace

std::unique_ptr<Deflater> Deflate::lend_deflater() {
  if (!out_) {
    return std::make_unique<Deflater>(Deflater::Format::raw, Z_DEFAULT_COMPRESSION,
                                      Deflater::Size{});
  }
  out_->reset();
  return std::move(out_);
}

std::unique_ptr<Inflater> Deflate::lend_inflater() {
  if (!in_) return std::make_unique<Inflater>();
  in_->reset();
  return std::move(in_);
}

std::string_view Deflate::compress(std::string_view message) {
  auto deflater = lend_deflater();
  if (buffer_.capacity() > kMostKept) std::string().swap(buffer_);
  buffer_.clear();
  deflater->append(buffer_, message, Deflater::Flush::sync);
  give_back(std::move(deflater));
  std::string_view payload = buffer_;
  payload.remove_suffix(kDeflateTail.size());
  return payload;
}

Deflate::Result Deflate::decompress(std::string_view payload, std::size_t limit,
                                    std::string& message) {
  auto inflater = lend_inflater();
  message.clear();
  const Result result =
      inflater->run(payload, limit, std::numeric_limits<std::size_t>::max(), message);
  give_back(std::move(inflater));
  return result;
}

}  // namespace appserver::net::websocket
