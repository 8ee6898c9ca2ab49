#include "worker/tls.hpp"

#include <stdexcept>
#include <string>

#include "certificates/material.hpp"
#include "os/memfd.hpp"

namespace appserver::worker {
namespace {

net::tls::ClientCertificates wanted(config::ClientCertificates certificates) {
  switch (certificates) {
    case config::ClientCertificates::optional:
      return net::tls::ClientCertificates::optional;
    case config::ClientCertificates::required:
      return net::tls::ClientCertificates::required;
    case config::ClientCertificates::none:
      break;
  }
  return net::tls::ClientCertificates::none;
}

}  // namespace

std::shared_ptr<const net::tls::ServerContext> make_tls_context(const config::Tls& tls,
                                                                const os::Fd& file) {
  const certificates::Material material =
      certificates::decode_and_wipe(os::read_sealed_memfd(file.get(), certificates::kMaxMaterial));
  if (material.identities.empty()) return nullptr;
  net::tls::ServerRules rules;
  rules.client_certificates = wanted(tls.client_certificates);
  if (tls.min_version == config::TlsVersion::v1_3) rules.min_version = net::tls::MinVersion::tls1_3;
  return std::make_shared<const net::tls::ServerContext>(material, rules);
}

std::unique_ptr<net::tls::Session> accept_tls(const net::StreamListener& listener, int socket) {
  if (!listener.tls) return nullptr;
  if (!listener.tls->context())
    throw std::runtime_error(listener.text + " has no certificate that is good");
  return net::tls::Session::accept(listener.tls->context(), socket,
                                   listener.begins_with_http ? "http/1.1" : "");
}

}  // namespace appserver::worker
