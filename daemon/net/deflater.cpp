#include "net/deflater.hpp"

#include <new>
#include <stdexcept>

namespace appserver::net {
namespace {

constexpr int kGzipWrapper = 16;
// Behind deflateBound(), which does not count a flush's marker.
constexpr std::size_t kFlushRoom = 16;

int to_zlib(Deflater::Flush flush) {
  switch (flush) {
    case Deflater::Flush::none:
      return Z_NO_FLUSH;
    case Deflater::Flush::sync:
      return Z_SYNC_FLUSH;
    case Deflater::Flush::end:
      break;
  }
  return Z_FINISH;
}

}  // namespace

void set_input(z_stream& stream, std::string_view data) {
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
}

Deflater::Deflater(Format format, int level, Size size) {
  const int bits = format == Format::raw ? -size.window_bits : size.window_bits + kGzipWrapper;
  if (::deflateInit2(&stream_, level, Z_DEFLATED, bits, size.memory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
}

Deflater::~Deflater() { ::deflateEnd(&stream_); }

void Deflater::reset() { ::deflateReset(&stream_); }

void Deflater::append(std::string& out, std::string_view data, Flush flush) {
  set_input(stream_, data);
  for (;;) {
    const std::size_t before = out.size();
    const std::size_t room = ::deflateBound(&stream_, stream_.avail_in) + kFlushRoom;
    out.resize(before + room);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream_.avail_out = static_cast<uInt>(room);
    const int result = ::deflate(&stream_, to_zlib(flush));
    const bool full = stream_.avail_out == 0;
    out.resize(before + room - stream_.avail_out);
    // Nothing was left to do, for a flush that follows a flush: no error.
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      throw std::runtime_error("zlib: deflate failed");
    if (!full) return;
  }
}

}  // namespace appserver::net
