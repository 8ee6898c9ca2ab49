// The names that certificates are for.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "certificates/openssl.hpp"

namespace appserver::certificates {

// DNS names in lower case, from subjectAltName; without any there, the subject's common name.
std::vector<std::string> dns_names(const X509& certificate);

// Until when it is valid, as "2030-01-31"; and whether that or its beginning is amiss now.
std::string last_day(const X509& certificate);
bool is_expired(const X509& certificate);
bool is_not_yet_valid(const X509& certificate);

// Which of several certificates is for a name that a client asks for (SNI, RFC 6066, section 3).
class NameIndex final {
 public:
  // The first certificate that has a name keeps it.
  void add(const X509& certificate, std::size_t number);
  // The name itself before a wildcard of its first label (RFC 6125, section 6.4.3).
  std::optional<std::size_t> find(std::string_view name) const;

 private:
  std::map<std::string, std::size_t, std::less<>> numbers_;
};

}  // namespace appserver::certificates
