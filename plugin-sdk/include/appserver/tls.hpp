// Facts about a connection under TLS.
#pragma once

#include <appserver/abi/tls.h>

#include <appserver/detail/text.hpp>
#include <optional>
#include <string>

namespace appserver {

struct TlsInfo {
  std::string version;      // "TLSv1.2", "TLSv1.3"
  std::string cipher;       // as IANA calls it, of TLS 1.2 as OpenSSL does
  std::string alpn;         // "http/1.1"; empty: none was agreed on
  std::string server_name;  // that the client asked for (SNI); empty without one
  // Of a certificate that the client has shown, and that tls.client_ca has signed; else empty.
  std::string client_subject;      // RFC 2253: "CN=alice,O=Example"
  std::string client_fingerprint;  // SHA-256 of the certificate, in lower-case hex
};

namespace detail {

inline std::optional<TlsInfo> tls_info(const appserver_tls_info* raw) {
  if (raw == nullptr) return std::nullopt;
  return TlsInfo{
      std::string(view(raw->version)),        std::string(view(raw->cipher)),
      std::string(view(raw->alpn)),           std::string(view(raw->server_name)),
      std::string(view(raw->client_subject)), std::string(view(raw->client_fingerprint))};
}

}  // namespace detail

}  // namespace appserver
