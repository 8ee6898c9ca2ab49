#include "certificates/material.hpp"

#include <openssl/crypto.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace appserver::certificates {
namespace {

void append(std::string& bytes, std::string_view part) {
  const auto size = static_cast<std::uint64_t>(part.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  bytes.append(part);
}

std::string_view take(std::string_view& bytes) {
  std::uint64_t size = 0;
  if (bytes.size() >= sizeof(size)) {
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes.remove_prefix(sizeof(size));
    if (size <= bytes.size()) {
      const std::string_view part = bytes.substr(0, static_cast<std::size_t>(size));
      bytes.remove_prefix(part.size());
      return part;
    }
  }
  throw std::runtime_error("a malformed record of certificates");
}

}  // namespace

void wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

Identity& Identity::operator=(Identity&& other) noexcept {
  chain.swap(other.chain);
  key.swap(other.key);
  return *this;
}

Identity::~Identity() {
  wipe(chain);
  wipe(key);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  text.swap(other.text);
  return *this;
}

Secret::~Secret() { wipe(text); }

std::string encode(const Material& material) {
  std::size_t size = (2 * material.identities.size() + 2) * sizeof(std::uint64_t) +
                     material.client_authorities.size() + material.secret.text.size();
  for (const Identity& identity : material.identities) {
    size += identity.chain.size() + identity.key.size();
  }
  if (size > kMaxMaterial) throw std::runtime_error("the certificates are over 16 MiB");
  std::string bytes;
  // At once, so that no key is left behind in memory that growing gives back.
  bytes.reserve(size);
  append(bytes, material.client_authorities);
  append(bytes, material.secret.text);
  for (const Identity& identity : material.identities) {
    append(bytes, identity.chain);
    append(bytes, identity.key);
  }
  return bytes;
}

Material decode(std::string_view bytes) {
  Material material;
  material.client_authorities = take(bytes);
  material.secret.text = take(bytes);
  while (!bytes.empty()) {
    Identity& identity = material.identities.emplace_back();
    identity.chain = take(bytes);
    identity.key = take(bytes);
  }
  return material;
}

Material decode_and_wipe(std::string bytes) {
  try {
    Material material = decode(bytes);
    wipe(bytes);
    return material;
  } catch (...) {
    wipe(bytes);
    throw;
  }
}

}  // namespace appserver::certificates
