#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 6> kTlsKeys = {
    "certificate", "key", "certificates", "client_certificates", "client_ca", "min_version"};
constexpr std::array<std::string_view, 2> kIdentityKeys = {"certificate", "key"};

// Both keys of a mapping that has one of them.
void read_identity(const Section& section, const Node& place, Tls& tls) {
  Tls::Identity identity;
  for (const auto& [key, path] :
       {std::pair("certificate", &identity.certificate), std::pair("key", &identity.key)}) {
    if (section.find(key) != nullptr) {
      read_path(section, key, *path);
    } else {
      section.scope().complain(
          place, fmt::format("{0}: '{1}' is missing; add {1}: FILE.pem", section.path(), key));
    }
  }
  tls.certificates.push_back(std::move(identity));
}

void read_list(const Section& section, const Entry& list, Tls& tls) {
  const Scope& scope = section.scope();
  const std::string path = section.path_of("certificates");
  const bool alone = section.find("certificate") == nullptr && section.find("key") == nullptr;
  if (!alone) {
    scope.complain(list, fmt::format("{}: put the one of 'certificate' and 'key' into this list, "
                                     "first where it is the default",
                                     path));
  }
  if (list.value->kind != NodeKind::sequence) {
    return scope.wrong_kind(*list.value, path, "a list of certificate and key");
  }
  if (list.value->items.empty()) {
    return scope.complain(list, path +
                                    " is empty: give at least one certificate, as "
                                    "- {certificate: FILE.pem, key: FILE.pem}");
  }
  for (std::size_t i = 0; i < list.value->items.size(); ++i) {
    const NodePtr& item = list.value->items[i];
    read_identity(Section(scope, item, fmt::format("{}[{}]", path, i), kIdentityKeys), *item, tls);
  }
}

void read_clients(const Section& section, const Node& place, Tls& tls) {
  section.read("client_certificates", ClientCertificatesRule{}, tls.client_certificates);
  const Entry* const authorities = section.find("client_ca");
  const bool asked = tls.client_certificates != ClientCertificates::none;
  if (authorities != nullptr) read_path(section, "client_ca", tls.client_ca);
  if (asked && authorities == nullptr) {
    section.scope().complain(
        place, fmt::format("{}: client_certificates: {} needs client_ca: FILE.pem, whose "
                           "authorities sign them",
                           section.path(), to_word(tls.client_certificates)));
  }
  if (!asked && authorities != nullptr) {
    section.scope().complain(*authorities,
                             fmt::format("{}: clients are not asked for certificates; add "
                                         "client_certificates: required (or optional)",
                                         section.path_of("client_ca")));
  }
}

}  // namespace

void read_tls(const Section& section, const Entry& group_entry, Group& group) {
  const Entry* const entry = section.find("tls");
  const auto secured = std::ranges::find_if(group.listen, &Listen::is_tls);
  if (entry == nullptr) {
    if (secured == group.listen.end()) return;
    const Entry* const listen = section.find("listen");
    section.scope().complain(
        listen == nullptr ? group_entry : *listen,
        fmt::format("{}: {} needs a certificate; add tls: {{certificate: FILE.pem, key: FILE.pem}} "
                    "to the group",
                    section.path(), secured->text));
    return;
  }
  if (secured == group.listen.end()) {
    section.scope().complain(
        *entry, fmt::format("{}: no address of the group is under TLS; listen on https://, wss://, "
                            "tls://, text+tls:// or frame+tls://, or leave 'tls' out",
                            section.path_of("tls")));
  }
  const Section tls = section.section("tls", kTlsKeys);
  if (const Entry* const list = tls.find("certificates")) {
    read_list(tls, *list, group.tls);
  } else {
    read_identity(tls, *entry->value, group.tls);
  }
  read_clients(tls, *entry->value, group.tls);
  tls.read("min_version", TlsVersionRule{}, group.tls.min_version);
}

}  // namespace appserver::config
