// What TLS sessions begin from: certificates and rules. Values that never change; a server that
// gets new certificates gets another context, and sessions keep the one that they began with.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "certificates/material.hpp"
#include "certificates/names.hpp"

namespace appserver::net::tls {

struct FreeSsl {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* session) const { SSL_free(session); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSsl>;
using Ssl = std::unique_ptr<SSL, FreeSsl>;

enum class ClientCertificates { none, optional, required };
enum class MinVersion { tls1_2, tls1_3 };

struct ServerRules {
  // Optional: one that is presented must be good.
  ClientCertificates client_certificates = ClientCertificates::none;
  MinVersion min_version = MinVersion::tls1_2;
};

// Must stand still: sessions point to it.
class ServerContext final {
 public:
  // Throws std::runtime_error where the material does not serve: a key that is not the
  // certificate's, one that is too weak.
  ServerContext(const certificates::Material& material, const ServerRules& rules);
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // For a new session; the name that the client asks for then chooses.
  SSL_CTX* first() const { return contexts_.front().get(); }

 private:
  static int choose(SSL* session, int* alert, void* self);

  std::vector<SslContext> contexts_;  // one per certificate
  certificates::NameIndex names_;
};

struct ClientRules {
  bool verify = true;         // the server's certificate, and that it is for the host asked for
  std::string authorities{};  // PEM of those to trust; empty: the system's
  // Of a client that shows a certificate: both, or none.
  certificates::Identity identity{};
  std::vector<std::string> alpn{};  // RFC 7301, wanted most first
};

class ClientContext final {
 public:
  // Throws std::runtime_error as ServerContext does.
  explicit ClientContext(const ClientRules& rules);

  SSL_CTX* get() const { return context_.get(); }
  bool verifies() const { return verifies_; }

 private:
  SslContext context_;
  bool verifies_;
};

// The server context of the moment, for all listeners of a group.
class Server final {
 public:
  explicit Server(std::shared_ptr<const ServerContext> context) : context_(std::move(context)) {}
  const std::shared_ptr<const ServerContext>& context() const { return context_; }
  // For handshakes that begin from now on.
  void replace(std::shared_ptr<const ServerContext> context) { context_ = std::move(context); }

 private:
  std::shared_ptr<const ServerContext> context_;
};

}  // namespace appserver::net::tls
