// Certificates for tests: an authority of its own, and what it signs.
#pragma once

#include <string>
#include <vector>

#include "certificates/openssl.hpp"

namespace appserver::test {

struct Made {
  std::string chain;  // PEM
  std::string key;
};

struct Wanted {
  std::vector<std::string> names{};  // subjectAltName; "IP:127.0.0.1" is an address
  std::string common_name{"test"};
  int from_day = -1;  // of validity, from today
  int to_day = 30;
};

class Authority final {
 public:
  explicit Authority(const std::string& common_name = "Test Authority");

  // With a fresh key on P-256.
  Made issue(const Wanted& wanted) const;
  const std::string& certificate() const { return pem_; }

 private:
  certificates::Certificate certificate_;
  certificates::Key key_;
  std::string pem_;
};

std::string sha256_of(const std::string& certificate_pem);

}  // namespace appserver::test
