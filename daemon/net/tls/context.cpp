#include "net/tls/context.hpp"

#include <openssl/err.h>

#include <stdexcept>

#include "certificates/openssl.hpp"
#include "certificates/pem.hpp"
#include "net/tls/session.hpp"

namespace appserver::net::tls {
namespace {

using certificates::throw_error;

// Mozilla's "intermediate" of server-side TLS, without DHE, which no client of today needs.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";
// 112 bits: RSA of 2048 and more.
constexpr int kSecurityLevel = 2;

void require(bool ok, const char* what) {
  if (!ok) throw_error(what);
}

SslContext make_context(const SSL_METHOD* method, int min_version) {
  ERR_clear_error();
  SslContext context(SSL_CTX_new(method));
  require(context != nullptr, "SSL_CTX_new");
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_security_level(raw, kSecurityLevel);
  require(SSL_CTX_set_min_proto_version(raw, min_version) == 1, "SSL_CTX_set_min_proto_version");
  // Zero: the highest there is, whatever the system's configuration of OpenSSL says.
  require(SSL_CTX_set_max_proto_version(raw, 0) == 1, "SSL_CTX_set_max_proto_version");
  require(SSL_CTX_set_cipher_list(raw, kCiphers) == 1, "SSL_CTX_set_cipher_list");
  require(SSL_CTX_set1_groups_list(raw, kGroups) == 1, "SSL_CTX_set1_groups_list");
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // What waits to be sent may move in memory between two attempts, and an idle session holds no
  // buffers.
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  // A call ends with what is no data: the loop's other connections have their turn.
  SSL_CTX_clear_mode(raw, SSL_MODE_AUTO_RETRY);
  // What comes before the handshake is done may be sent again by anybody.
  require(SSL_CTX_set_max_early_data(raw, 0) == 1, "SSL_CTX_set_max_early_data");
  // One recv(2) for a record instead of two.
  SSL_CTX_set_read_ahead(raw, 1);
  // Sessions are resumed by tickets alone: nothing is kept here.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  return context;
}

void use_identity(SSL_CTX* context, const certificates::Identity& identity,
                  certificates::NameIndex* names, std::size_t number) {
  const auto chain = certificates::read_certificates(identity.chain);
  const certificates::Key key = certificates::read_key(identity.key);
  certificates::require_fit(*chain.front(), *key);
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
    throw_error("the certificate cannot be used");
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      throw_error("a certificate of the chain cannot be used");
    }
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) throw_error("the key cannot be used");
  if (names != nullptr) names->add(*chain.front(), number);
}

void trust(SSL_CTX* context, std::string_view authorities, bool tell_clients) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const auto& one : certificates::read_certificates(authorities)) {
    require(X509_STORE_add_cert(store, one.get()) == 1, "X509_STORE_add_cert");
    if (tell_clients)
      require(SSL_CTX_add_client_CA(context, one.get()) == 1, "SSL_CTX_add_client_CA");
  }
}

void ask_for_certificates(SSL_CTX* context, const certificates::Material& material,
                          ClientCertificates wanted) {
  if (wanted == ClientCertificates::none) return;
  trust(context, material.client_authorities, true);
  const int always = wanted == ClientCertificates::required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | always, nullptr);
}

// RFC 7301, section 3.2: a client that wants none of ours is told so.
int choose_alpn(SSL* session, const unsigned char** chosen, unsigned char* size,
                const unsigned char* offered, unsigned int offered_size, void*) {
  const std::string& ours = Session::of(session).alpn_served();
  if (ours.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned int>(ours.size()), offered, offered_size);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

ServerContext::ServerContext(const certificates::Material& material, const ServerRules& rules) {
  if (material.identities.empty()) throw std::runtime_error("no certificate is given");
  const int least = rules.min_version == MinVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
  for (const certificates::Identity& identity : material.identities) {
    SslContext context = make_context(TLS_server_method(), least);
    use_identity(context.get(), identity, &names_, contexts_.size());
    ask_for_certificates(context.get(), material, rules.client_certificates);
    constexpr unsigned char kSessions[] = "appserver";
    require(SSL_CTX_set_session_id_context(context.get(), kSessions, sizeof(kSessions) - 1) == 1,
            "SSL_CTX_set_session_id_context");
    // What SSL_CTX_set_tlsext_servername_callback() is, without its old cast.
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(choose));
    SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    SSL_CTX_set_alpn_select_cb(context.get(), choose_alpn, nullptr);
    contexts_.push_back(std::move(context));
  }
}

int ServerContext::choose(SSL* session, int*, void* self) {
  const char* const name = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  const auto& server = *static_cast<const ServerContext*>(self);
  const auto number = server.names_.find(name);
  if (!number) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_SSL_CTX(session, server.contexts_[*number].get());
  return SSL_TLSEXT_ERR_OK;
}

ClientContext::ClientContext(const ClientRules& rules)
    : context_(make_context(TLS_client_method(), TLS1_2_VERSION)), verifies_(rules.verify) {
  SSL_CTX* const raw = context_.get();
  if (!rules.identity.chain.empty()) use_identity(raw, rules.identity, nullptr, 0);
  if (!rules.authorities.empty()) {
    trust(raw, rules.authorities, false);
  } else if (rules.verify) {
    require(SSL_CTX_set_default_verify_paths(raw) == 1, "SSL_CTX_set_default_verify_paths");
  }
  if (rules.verify) SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  std::string names;
  for (const std::string& one : rules.alpn) {
    if (one.empty() || one.size() > 255) throw std::runtime_error("a protocol of ALPN is too long");
    names += static_cast<char>(one.size());
    names += one;
  }
  if (names.empty()) return;
  // Zero is success here.
  require(SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(names.data()),
                                  static_cast<unsigned int>(names.size())) == 0,
          "SSL_CTX_set_alpn_protos");
}

}  // namespace appserver::net::tls
