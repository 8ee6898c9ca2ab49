#include "net/websocket/inflater.hpp"

#include <array>
#include <new>

#include "net/deflater.hpp"

namespace appserver::net::websocket {
namespace {

constexpr int kRawWindow = -15;  // no zlib header; the largest window
constexpr std::size_t kChunk = 16 * 1024;

}  // namespace

Inflater::Inflater() {
  if (::inflateInit2(&stream_, kRawWindow) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { ::inflateEnd(&stream_); }

void Inflater::reset() {
  ::inflateReset(&stream_);
  taken_ = 0;
  has_output_ = false;
}

Inflater::Result Inflater::run(std::string_view payload, std::size_t limit, std::size_t most,
                               std::string& message) {
  const std::size_t before = message.size();
  std::array<char, kChunk> chunk;
  while (taken_ < payload.size() + kDeflateTail.size() || has_output_) {
    if (message.size() - before >= most) return Result::unfinished;
    const std::string_view rest = taken_ < payload.size()
                                      ? payload.substr(taken_)
                                      : kDeflateTail.substr(taken_ - payload.size());
    set_input(stream_, rest);
    stream_.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream_.avail_out = static_cast<uInt>(chunk.size());
    const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
    taken_ += rest.size() - stream_.avail_in;
    has_output_ = stream_.avail_out == 0;
    const std::size_t got = chunk.size() - stream_.avail_out;
    if (got > limit - message.size()) return Result::too_long;
    message.append(chunk.data(), got);
    // A block may say that it is the last one; what follows begins anew (RFC 7692, 7.2.3.5).
    if (result == Z_STREAM_END) {
      ::inflateReset(&stream_);
      has_output_ = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return Result::malformed;
    }
  }
  return Result::whole;
}

}  // namespace appserver::net::websocket
