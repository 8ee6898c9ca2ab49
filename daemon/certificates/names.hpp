// The names that certificates are for.
#pragma once

#include <chrono>
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

// Both ends are within (RFC 5280, section 4.1.2.5). Seconds: some last until the year 9999.
struct Validity {
  std::chrono::sys_seconds from{};
  std::chrono::sys_seconds to{};
  bool holds_at(std::chrono::sys_seconds time) const { return from <= time && time <= to; }
};

// A time that cannot be read is 1970.
Validity validity(const X509& certificate);

// "2030-01-31T12:00:00Z" (RFC 3339).
std::string time_text(std::chrono::sys_seconds time);

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
