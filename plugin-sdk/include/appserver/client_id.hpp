// The name of a gateway's client.
#pragma once

#include <appserver/abi/gateway.h>

#include <charconv>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace appserver {

// The same in every worker, process and log; never reused, not by another run of the daemon either.
// Cheap to copy, to compare and to keep.
class ClientId {
 public:
  // No client at all.
  constexpr ClientId() noexcept = default;
  constexpr explicit ClientId(appserver_client_id id) noexcept
      : gateway_(id.gateway), serial_(id.serial) {}

  constexpr explicit operator bool() const noexcept { return serial_ != 0; }

  // 33 characters: two numbers of 16 hexadecimal digits, with '-' between them.
  std::string text() const {
    std::string out(kLength, '0');
    put(out, 0, gateway_);
    out[kDigits] = '-';
    put(out, kDigits + 1, serial_);
    return out;
  }

  // Nullopt for what text() does not give.
  static std::optional<ClientId> from_text(std::string_view text) noexcept {
    if (text.size() != kLength || text[kDigits] != '-') return std::nullopt;
    const auto gateway = number(text.substr(0, kDigits));
    const auto serial = number(text.substr(kDigits + 1));
    if (!gateway || !serial) return std::nullopt;
    return ClientId(appserver_client_id{*gateway, *serial});
  }

  constexpr appserver_client_id raw() const noexcept { return {gateway_, serial_}; }

  constexpr auto operator<=>(const ClientId&) const noexcept = default;

 private:
  static constexpr std::size_t kDigits = 16;
  static constexpr std::size_t kLength = 2 * kDigits + 1;

  static void put(std::string& out, std::size_t at, std::uint64_t value) {
    constexpr std::string_view kHex = "0123456789abcdef";
    for (std::size_t i = kDigits; i > 0; --i, value >>= 4U) out[at + i - 1] = kHex[value & 15U];
  }
  static std::optional<std::uint64_t> number(std::string_view digits) noexcept {
    std::uint64_t value = 0;
    for (const char c : digits) {
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    }
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return value;
  }

  std::uint64_t gateway_ = 0;
  std::uint64_t serial_ = 0;
};

}  // namespace appserver

template <>
struct std::hash<appserver::ClientId> {
  std::size_t operator()(const appserver::ClientId& id) const noexcept {
    const appserver_client_id raw = id.raw();
    return std::hash<std::uint64_t>()(raw.gateway ^ (raw.serial * 0x9E3779B97F4A7C15ULL));
  }
};
