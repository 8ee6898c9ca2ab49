// What a person should know of the certificates that are in use, or are not, in words. Pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/api.hpp"
#include "supervisor/tls_files.hpp"

namespace appserver::supervisor {

// Whoever renews certificates by ACME does so 30 days before their end, or, of those that live
// shortly, with a third of their life left: what is later has not been renewed.
inline constexpr std::chrono::days kExpiryWarning{14};

struct TlsNote {
  std::string about;  // the same for what need not be told again
  bool is_error = false;
  std::string text;
};

std::chrono::sys_seconds tls_now();

std::vector<TlsNote> notes_of(const TlsMaterial& material, std::chrono::sys_seconds now);

// Clients of some certificate are refused, or refuse it.
bool is_degraded(const TlsMaterial& material, std::chrono::sys_seconds now);

control::TlsStatus status_of(const TlsMaterial& material, std::chrono::sys_seconds now);

}  // namespace appserver::supervisor
