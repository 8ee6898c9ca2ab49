#include "os/address_range.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>

namespace appserver::os {
namespace {

constexpr std::string_view kUnix = "unix";

std::optional<unsigned> prefix_in(std::string_view text, unsigned most) {
  unsigned bits = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, bits);
  if (error != std::errc{} || rest != end || bits > most) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return bits;
}

// True where there was anything to clear.
bool clear_behind(std::span<std::uint8_t> address, unsigned bits) {
  bool cleared = false;
  for (std::size_t i = 0; i < address.size(); ++i) {
    const auto first = static_cast<unsigned>(i * 8);
    const unsigned kept = bits <= first ? 0 : std::min(bits - first, 8U);
    const auto mask = static_cast<std::uint8_t>(0xFF00U >> kept);
    cleared = cleared || (address[i] & ~mask) != 0;
    address[i] &= mask;
  }
  return cleared;
}

std::string text_of(int family, const std::uint8_t* address, unsigned bits, unsigned most) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, address, text.data(), text.size());
  return bits == most ? std::string(text.data()) : fmt::format("{}/{}", text.data(), bits);
}

bool is_mapped(const std::uint8_t* address) {
  in6_addr v6{};
  std::memcpy(&v6, address, sizeof(v6));
  return IN6_IS_ADDR_V4MAPPED(&v6);
}

}  // namespace

std::optional<AddressRange> AddressRange::parse(std::string_view text, std::string& hint) {
  hint.clear();
  AddressRange range;
  if (text == kUnix) {
    range.text_ = text;
    return range;
  }
  const std::size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  if (host.find('\0') != std::string::npos) return std::nullopt;
  const bool v6 = host.find(':') != std::string::npos;
  range.family_ = v6 ? AF_INET6 : AF_INET;
  const unsigned most = v6 ? 128 : 32;
  if (::inet_pton(range.family_, host.c_str(), range.address_.data()) != 1) return std::nullopt;
  if (v6 && is_mapped(range.address_.data())) {
    hint = "write an IPv4 network as one, such as 10.0.0.0/8";
    return std::nullopt;
  }
  const auto bits =
      slash == std::string_view::npos ? most : prefix_in(text.substr(slash + 1), most);
  if (!bits) {
    hint = fmt::format("the number behind / goes from 0 to {}", most);
    return std::nullopt;
  }
  range.bits_ = *bits;
  const bool cleared = clear_behind(std::span(range.address_).first(most / 8), *bits);
  range.text_ = text_of(range.family_, range.address_.data(), *bits, most);
  if (!cleared) return range;
  hint = fmt::format("the network is {}", range.text_);
  return std::nullopt;
}

bool AddressRange::contains(const sockaddr_storage& peer) const {
  std::array<std::uint8_t, 16> address{};
  sa_family_t family = peer.ss_family;
  std::size_t size = 0;
  if (family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    size = sizeof(v4.sin_addr);
    std::memcpy(address.data(), &v4.sin_addr, size);
  } else if (family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
    size = sizeof(v6.sin6_addr);
    std::memcpy(address.data(), &v6.sin6_addr, size);
    if (is_mapped(address.data())) {
      family = AF_INET;
      size = 4;
      std::memmove(address.data(), address.data() + 12, size);
    }
  }
  if (family != family_) return false;
  clear_behind(std::span(address).first(size), bits_);
  return std::memcmp(address.data(), address_.data(), size) == 0;
}

}  // namespace appserver::os
