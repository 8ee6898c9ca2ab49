// A set of peers that a connection may come from.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace appserver::os {

// The addresses of one network, or all of unix sockets. An IPv4 peer of an IPv6 socket is one of
// IPv4.
class AddressRange final {
 public:
  // "10.0.0.0/8", "2001:db8::/32", one address without a prefix's length, or "unix". Nullopt where
  // it is none; `hint` then says what to write instead, or is empty.
  static std::optional<AddressRange> parse(std::string_view text, std::string& hint);

  bool contains(const sockaddr_storage& peer) const;
  // Canonical: what parse() reads back as the same range.
  const std::string& text() const { return text_; }

  friend bool operator==(const AddressRange& a, const AddressRange& b) {
    return a.text_ == b.text_;
  }

 private:
  AddressRange() = default;

  std::array<std::uint8_t, 16> address_{};
  unsigned bits_ = 0;  // of it that count
  sa_family_t family_ = AF_UNIX;
  std::string text_;
};

}  // namespace appserver::os
