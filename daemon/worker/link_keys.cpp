#include "worker/link_keys.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "certificates/material.hpp"
#include "os/memfd.hpp"

namespace appserver::worker {
namespace {

using certificates::Material;

std::shared_ptr<const net::tls::ServerContext> make_server(const config::Link& link,
                                                           const Material& material) {
  if (material.identities.empty()) return nullptr;
  net::tls::ServerRules rules;
  if (!link.tls.client_ca.empty())
    rules.client_certificates = net::tls::ClientCertificates::required;
  return std::make_shared<const net::tls::ServerContext>(material, rules);
}

std::shared_ptr<const net::tls::ClientContext> make_client(const config::Link& link,
                                                           Material& material) {
  if (std::ranges::none_of(link.connect, &config::LinkTarget::tls)) return nullptr;
  // Without the authorities that are named the system's would be trusted.
  if (!link.tls.client_ca.empty() && material.client_authorities.empty()) return nullptr;
  if (!link.tls.certificates.empty() && material.identities.empty()) return nullptr;
  net::tls::ClientRules rules;
  rules.authorities = material.client_authorities;
  if (!material.identities.empty()) rules.identity = std::move(material.identities.front());
  return std::make_shared<const net::tls::ClientContext>(rules);
}

}  // namespace

gateway::LinkKeysPtr make_link_keys(const config::Group& group, const os::Fd& file) {
  Material material =
      certificates::decode_and_wipe(os::read_sealed_memfd(file.get(), certificates::kMaxMaterial));
  auto keys = std::make_shared<gateway::LinkKeys>();
  if (group.kind == config::GroupKind::gateway) {
    keys->server = make_server(group.link, material);
  } else {
    keys->client = make_client(group.link, material);
  }
  keys->secret = std::move(material.secret);
  return keys;
}

}  // namespace appserver::worker
