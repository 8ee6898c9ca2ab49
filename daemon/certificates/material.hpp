// What a TLS server needs from files: certificates, keys, and whom to trust. Keys are wiped from
// memory with it, and stand in no log and no record.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::certificates {

struct Identity {
  std::string chain;  // PEM: the server's certificate, then those between it and a root
  std::string key;    // PEM
};

class Material final {
 public:
  Material() = default;
  Material(Material&&) noexcept = default;
  Material& operator=(Material&& other) noexcept;
  Material(const Material&) = delete;
  Material& operator=(const Material&) = delete;
  ~Material();

  std::vector<Identity> identities;  // the first is served where no name fits
  std::string client_authorities;    // PEM; empty: clients are not asked for certificates

 private:
  void wipe();
};

// Overwrites what it holds.
void wipe(std::string& secret);

// Bytes for another process of the same build; to be wiped. At most kMaxMaterial.
inline constexpr std::size_t kMaxMaterial = std::size_t{16} << 20;
std::string encode(const Material& material);
// Throws std::runtime_error on anything that encode would not have written.
Material decode(std::string_view bytes);

}  // namespace appserver::certificates
