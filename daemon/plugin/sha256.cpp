#include "plugin/sha256.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <vector>

#include "os/error.hpp"

namespace appserver::plugin {
namespace {

struct FreeDigest {
  void operator()(EVP_MD_CTX* digest) const { EVP_MD_CTX_free(digest); }
};

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(fmt::format("OpenSSL: {} failed", what));
}

}  // namespace

std::string sha256(int fd) {
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> digest(EVP_MD_CTX_new());
  require(digest && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1,
          "EVP_DigestInit_ex");
  std::vector<std::byte> buffer(1 << 17);
  for (off_t offset = 0;;) {
    const auto got =
        os::retry_on_interrupt([&] { return ::pread(fd, buffer.data(), buffer.size(), offset); });
    os::check(got, "pread(fd {})", fd);
    if (got == 0) break;
    require(EVP_DigestUpdate(digest.get(), buffer.data(), static_cast<std::size_t>(got)) == 1,
            "EVP_DigestUpdate");
    offset += got;
  }
  std::array<unsigned char, 32> result;
  require(EVP_DigestFinal_ex(digest.get(), result.data(), nullptr) == 1, "EVP_DigestFinal_ex");
  std::string hex;
  for (const auto byte : result) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace appserver::plugin
