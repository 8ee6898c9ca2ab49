#include "net/websocket/deflate.hpp"

#include <algorithm>
#include <array>
#include <new>

namespace appserver::net::websocket {
namespace {

constexpr int kRawWindow = -15;  // no zlib header; the largest window
constexpr std::size_t kChunk = 16 * 1024;
// Behind each message (RFC 7692, 7.2.1 and 7.2.2).
constexpr std::string_view kTail{"\x00\x00\xff\xff", 4};
constexpr std::size_t kMostKept = std::size_t{1} << 20;

}  // namespace

Deflate::Deflate() : out_(Deflater::Format::raw, Z_DEFAULT_COMPRESSION, {}) {
  if (::inflateInit2(&in_, kRawWindow) != Z_OK) throw std::bad_alloc();
}

Deflate::~Deflate() { ::inflateEnd(&in_); }

std::string_view Deflate::compress(std::string_view message) {
  out_.reset();
  if (buffer_.capacity() > kMostKept) std::string().swap(buffer_);
  buffer_.clear();
  out_.append(buffer_, message, Deflater::Flush::sync);
  std::string_view payload = buffer_;
  payload.remove_suffix(kTail.size());
  return payload;
}

Deflate::Result Deflate::decompress(std::string_view payload, std::size_t limit,
                                    std::string& message) {
  ::inflateReset(&in_);
  message.clear();
  std::array<char, kChunk> chunk;
  for (const std::string_view part : {payload, kTail}) {
    set_input(in_, part);
    do {
      in_.next_out = reinterpret_cast<Bytef*>(chunk.data());
      in_.avail_out = static_cast<uInt>(chunk.size());
      const int result = ::inflate(&in_, Z_SYNC_FLUSH);
      const std::size_t got = chunk.size() - in_.avail_out;
      if (got > limit - message.size()) return Result::too_long;
      message.append(chunk.data(), got);
      // A block may say that it is the last one; what follows begins anew (RFC 7692, 7.2.3.5).
      if (result == Z_STREAM_END) {
        ::inflateReset(&in_);
        continue;
      }
      // No progress is possible: all input is taken, and the output went out.
      if (result == Z_BUF_ERROR) break;
      if (result != Z_OK) return Result::malformed;
    } while (in_.avail_in > 0 || in_.avail_out == 0);
  }
  return Result::whole;
}

}  // namespace appserver::net::websocket
