#include "certificates/names.hpp"

#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

namespace appserver::certificates {
namespace {

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

void add_name(std::vector<std::string>& names, const ASN1_STRING* text) {
  const auto* const data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text));
  const std::string_view name(data, static_cast<std::size_t>(ASN1_STRING_length(text)));
  // A NUL within would be another name for those that stop at it.
  if (name.empty() || name.find('\0') != std::string_view::npos) return;
  names.push_back(in_lower_case(name));
}

std::chrono::sys_seconds seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

std::vector<std::string> dns_names(const X509& certificate) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, FreeNames> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (one->type == GEN_DNS) add_name(names, one->d.dNSName);
  }
  if (!names.empty()) return names;
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) add_name(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  return names;
}

Validity validity(const X509& certificate) {
  return {seconds_of(X509_get0_notBefore(&certificate)),
          seconds_of(X509_get0_notAfter(&certificate))};
}

std::string time_text(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

void NameIndex::add(const X509& certificate, std::size_t number) {
  for (std::string& name : dns_names(certificate)) numbers_.emplace(std::move(name), number);
}

std::optional<std::size_t> NameIndex::find(std::string_view name) const {
  const std::string wanted = in_lower_case(name);
  if (const auto exact = numbers_.find(wanted); exact != numbers_.end()) return exact->second;
  const std::size_t dot = wanted.find('.');
  if (dot == std::string::npos || dot == 0) return std::nullopt;
  const auto wild = numbers_.find("*" + wanted.substr(dot));
  if (wild == numbers_.end()) return std::nullopt;
  return wild->second;
}

}  // namespace appserver::certificates
