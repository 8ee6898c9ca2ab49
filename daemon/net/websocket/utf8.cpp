#include "net/websocket/utf8.hpp"

#include <cstring>

namespace appserver::net::websocket {

// The table of RFC 3629, section 4: what keeps out overlong forms, surrogates and what is beyond
// U+10FFFF is the range of the second byte.
bool Utf8Checker::begin(unsigned char byte) {
  lowest_ = 0x80;
  highest_ = 0xbf;
  if (byte < 0x80) return true;
  if (byte >= 0xc2 && byte <= 0xdf) {
    needed_ = 1;
    return true;
  }
  if (byte >= 0xe0 && byte <= 0xef) {
    needed_ = 2;
    if (byte == 0xe0) lowest_ = 0xa0;
    if (byte == 0xed) highest_ = 0x9f;
    return true;
  }
  if (byte >= 0xf0 && byte <= 0xf4) {
    needed_ = 3;
    if (byte == 0xf0) lowest_ = 0x90;
    if (byte == 0xf4) highest_ = 0x8f;
    return true;
  }
  return false;
}

bool Utf8Checker::add(std::string_view bytes) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (at != end) {
    // Most text is ASCII: eight bytes at a time.
    if (needed_ == 0 && end - at >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      if ((word & 0x8080808080808080U) == 0) {
        at += 8;
        continue;
      }
    }
    const auto byte = static_cast<unsigned char>(*at++);
    if (needed_ == 0) {
      if (!begin(byte)) return false;
      continue;
    }
    if (byte < lowest_ || byte > highest_) return false;
    --needed_;
    lowest_ = 0x80;
    highest_ = 0xbf;
  }
  return true;
}

bool is_utf8(std::string_view bytes) {
  Utf8Checker checker;
  return checker.add(bytes) && checker.is_whole();
}

}  // namespace appserver::net::websocket
