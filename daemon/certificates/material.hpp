// What a TLS server needs from files: certificates, keys, and whom to trust. Keys are wiped from
// memory with it, and stand in no log and no record.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::certificates {

// Wiped at its end. Its chain, too: some keep the key in the same file.
struct Identity {
  Identity() = default;
  Identity(std::string chain_text, std::string key_text)
      : chain(std::move(chain_text)), key(std::move(key_text)) {}
  Identity(Identity&&) noexcept = default;
  Identity& operator=(Identity&& other) noexcept;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity();

  std::string chain;  // PEM: the server's certificate, then those between it and a root
  std::string key;    // PEM
};

// Wiped at its end.
struct Secret {
  Secret() = default;
  explicit Secret(std::string secret) : text(std::move(secret)) {}
  Secret(Secret&&) noexcept = default;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  std::string text;
};

struct Material {
  std::vector<Identity> identities{};  // the first is served where no name fits
  std::string client_authorities{};    // PEM; empty: clients are not asked for certificates
  Secret secret{};                     // of a link: what both ends know
};

// Overwrites what it holds.
void wipe(std::string& secret);

// Bytes for another process of the same build; to be wiped. At most kMaxMaterial.
inline constexpr std::size_t kMaxMaterial = std::size_t{16} << 20;
std::string encode(const Material& material);
// Throws std::runtime_error on anything that encode would not have written.
Material decode(std::string_view bytes);
// The same, and wipes them, also where it throws.
Material decode_and_wipe(std::string bytes);

}  // namespace appserver::certificates
