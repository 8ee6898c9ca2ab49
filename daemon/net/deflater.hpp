// zlib's compressor, as HTTP answers and WebSocket messages use it.
#pragma once

#include <zlib.h>

#include <string>
#include <string_view>

namespace appserver::net {

// One state of zlib, allocated when it is made. Loop thread only.
class Deflater final {
 public:
  enum class Format {
    raw,   // RFC 1951
    gzip,  // RFC 1952
  };
  // It takes about 2^(window_bits + 2) + 2^(memory + 9) bytes.
  struct Size {
    int window_bits = 15;  // 9 to 15
    int memory = 8;        // 1 to 9
  };
  enum class Flush {
    none,  // zlib may keep bytes back
    sync,  // all of it can be read at the other end
    end,   // the stream is whole
  };

  // `level`: 1 (fast) to 9, or zlib's default. Throws std::bad_alloc.
  Deflater(Format format, int level, Size size);
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // Forgets what was compressed.
  void reset();

  // Appends the compressed form of `data` to `out`. Throws std::runtime_error where zlib fails,
  // which it does by misuse only.
  void append(std::string& out, std::string_view data, Flush flush);

 private:
  z_stream stream_{};
};

// Bytes for zlib to read; it is older than const. At most 4 GiB.
void set_input(z_stream& stream, std::string_view data);

}  // namespace appserver::net
