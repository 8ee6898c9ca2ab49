// Whether bytes are UTF-8 (RFC 3629), also where they come in pieces. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace appserver::net::websocket {

class Utf8Checker final {
 public:
  // False once what has come cannot be the beginning of any text; then and after finish() begin
  // anew with reset().
  bool add(std::string_view bytes);
  // Whether what has come ends where a character ends.
  bool is_whole() const { return needed_ == 0; }
  void reset() { *this = Utf8Checker(); }

 private:
  bool begin(unsigned char byte);

  unsigned needed_ = 0;          // bytes that the character at hand still needs
  unsigned char lowest_ = 0x80;  // of the next one of them
  unsigned char highest_ = 0xbf;
};

bool is_utf8(std::string_view bytes);

}  // namespace appserver::net::websocket
