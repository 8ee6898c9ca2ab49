#include "supervisor/tls_notes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace appserver::supervisor {
namespace {

using certificates::time_text;
using control::CertificateState;
using std::chrono::days;
using std::chrono::sys_seconds;

std::string names_in_words(const ServedCertificate& certificate) {
  constexpr std::size_t kMostNames = 3;
  std::string words;
  for (std::size_t i = 0; i < std::min(certificate.names.size(), kMostNames); ++i) {
    words += (words.empty() ? " for " : ", ") + certificate.names[i];
  }
  if (certificate.names.size() > kMostNames)
    words += fmt::format(" and {} more", certificate.names.size() - kMostNames);
  return words;
}

bool expires_soon(const certificates::Validity& validity, sys_seconds now) {
  const auto lifetime = validity.to - validity.from;
  return validity.to - now < std::min<std::chrono::seconds>(kExpiryWarning, lifetime / 3);
}

CertificateState state_of(const ServedCertificate& certificate, sys_seconds now) {
  if (!certificate.is_served) return CertificateState::not_served;
  if (now > certificate.validity.to) return CertificateState::expired;
  if (now < certificate.validity.from) return CertificateState::not_yet_valid;
  if (!certificate.problem.empty()) return CertificateState::kept;
  return expires_soon(certificate.validity, now) ? CertificateState::expiring
                                                 : CertificateState::ok;
}

std::string left_in_words(std::chrono::seconds left) {
  const auto whole = std::chrono::floor<days>(left).count();
  if (whole == 0) return "within a day";
  return whole == 1 ? "in 1 day" : fmt::format("in {} days", whole);
}

// It is told again when so many days are left.
days step_of(std::chrono::seconds left) {
  constexpr std::array<days, 3> kSteps = {days(1), days(3), days(7)};
  for (const days step : kSteps) {
    if (left < step) return step;
  }
  return kExpiryWarning;
}

std::optional<TlsNote> note_of_dates(const ServedCertificate& certificate, sys_seconds now) {
  if (!certificate.is_served) return std::nullopt;
  const std::string what = "the certificate " + certificate.file.native();
  const std::string names = names_in_words(certificate);
  const std::string to = time_text(certificate.validity.to);
  if (now > certificate.validity.to) {
    return TlsNote{
        "expired " + what + to, false,
        fmt::format("{}{} has expired on {}; clients refuse it: renew it", what, names, to)};
  }
  if (now < certificate.validity.from) {
    const std::string from = time_text(certificate.validity.from);
    return TlsNote{"early " + what + from, false,
                   fmt::format("{}{} is not valid before {}; clients refuse it until then", what,
                               names, from)};
  }
  if (!expires_soon(certificate.validity, now)) return std::nullopt;
  const auto left = certificate.validity.to - now;
  return TlsNote{
      fmt::format("soon {}{} {}", what, to, step_of(left).count()), false,
      fmt::format("{}{} expires {} ({}): renew it", what, names, left_in_words(left), to)};
}

TlsNote note_of_problem(const TlsMaterial& material, const ServedCertificate& certificate) {
  std::string text = certificate.problem;
  if (certificate.is_served) {
    text = fmt::format(
        "the files have changed and are no good: {}; what was read before, valid until {}, stays "
        "in use",
        certificate.problem, time_text(certificate.validity.to));
  } else if (material.serves_any()) {
    text += "; until that is mended who asks for its names gets another certificate";
  } else {
    text += "; until that is mended nothing is served under TLS";
  }
  return {text, true, text};
}

}  // namespace

sys_seconds tls_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::vector<TlsNote> notes_of(const TlsMaterial& material, sys_seconds now) {
  std::vector<TlsNote> notes;
  for (const std::string& warning : material.warnings) notes.push_back({warning, false, warning});
  if (!material.authorities_problem.empty()) {
    const std::string text =
        material.authorities_problem + (material.serves_any()
                                            ? "; what was read before stays in use"
                                            : "; until that is mended nothing is served under TLS");
    notes.push_back({text, true, text});
  }
  if (!material.secret_problem.empty()) {
    const std::string text =
        material.secret_problem + "; what was read before, if any, stays in use";
    notes.push_back({text, true, text});
  }
  for (const ServedCertificate& certificate : material.certificates) {
    if (!certificate.problem.empty()) notes.push_back(note_of_problem(material, certificate));
    if (auto note = note_of_dates(certificate, now)) notes.push_back(*std::move(note));
  }
  return notes;
}

bool is_degraded(const TlsMaterial& material, sys_seconds now) {
  return std::ranges::any_of(material.certificates, [now](const ServedCertificate& one) {
    return !one.is_served || !one.validity.holds_at(now);
  });
}

control::TlsStatus status_of(const TlsMaterial& material, sys_seconds now) {
  control::TlsStatus status;
  for (const ServedCertificate& one : material.certificates) {
    control::CertificateStatus& out = status.certificates.emplace_back();
    out.file = one.file.native();
    out.names = one.names;
    out.state = state_of(one, now);
    if (one.is_served) out.not_after = time_text(one.validity.to);
    if (!one.problem.empty()) out.problem = one.problem;
  }
  return status;
}

}  // namespace appserver::supervisor
