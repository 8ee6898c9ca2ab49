#include "certificates/openssl.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include <climits>
#include <stdexcept>

namespace appserver::certificates {

Bio read_from(std::string_view bytes) {
  if (bytes.size() > INT_MAX) throw std::runtime_error("too much text for one PEM file");
  Bio bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (!bio) throw_error("BIO_new_mem_buf");
  return bio;
}

std::string take_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  if (const char* const words = ERR_reason_error_string(code)) return words;
  return fmt::format("error {:#x} of OpenSSL", code);
}

void throw_error(std::string_view what) {
  throw std::runtime_error(fmt::format("{}: {}", what, take_error()));
}

}  // namespace appserver::certificates
