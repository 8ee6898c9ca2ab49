#include "net/tls/session.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "certificates/openssl.hpp"

namespace appserver::net::tls {
namespace {

using certificates::throw_error;

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  return ::inet_pton(AF_INET, host.c_str(), parsed.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), parsed.data()) == 1;
}

// Beyond what is asked for: TLS's own bytes of a record, and the end of one that began before.
constexpr std::size_t kRecord = std::size_t{16} << 10;

int clamp(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

std::string subject_of(X509* certificate) {
  const certificates::Bio bio(BIO_new(BIO_s_mem()));
  if (!bio) return {};
  // In UTF-8, where RFC 2253 alone would escape it.
  constexpr unsigned long kForm = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, kForm);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::string fingerprint_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

Session::Session(SSL_CTX* context, int socket) {
  ERR_clear_error();
  ssl_.reset(SSL_new(context));
  if (!ssl_ || SSL_set_app_data(ssl_.get(), this) != 1 || SSL_set_fd(ssl_.get(), socket) != 1) {
    throw_error("a TLS session cannot begin");
  }
  SSL_set_msg_callback(ssl_.get(), on_message);
  SSL_set_msg_callback_arg(ssl_.get(), this);
  BIO* const bio = SSL_get_rbio(ssl_.get());
  BIO_set_callback_arg(bio, static_cast<char*>(static_cast<void*>(this)));
  BIO_set_callback_ex(bio, on_bio);
}

void Session::on_message(int is_sent, int, int type, const void*, std::size_t, SSL*, void* self) {
  if (is_sent != 0 || (type != SSL3_RT_HANDSHAKE && type != SSL3_RT_ALERT)) return;
  ++static_cast<Session*>(self)->asides_;
}

// OpenSSL goes on within one call while what comes is no data, and where a part of a record is left
// in its buffer also without SSL_MODE_AUTO_RETRY. It ends where the socket says that nothing is
// there, which is said here instead of it.
long Session::on_bio(BIO* bio, int operation, const char*, std::size_t, int, long, int result,
                     std::size_t* processed) {
  if (operation == BIO_CB_READ) {
    const auto* const self =
        static_cast<const Session*>(static_cast<const void*>(BIO_get_callback_arg(bio)));
    if (self->bytes_left_ > 0 && !self->had_many_asides()) return result;
    BIO_clear_retry_flags(bio);
    BIO_set_retry_read(bio);
    return -1;
  }
  if (operation == (BIO_CB_READ | BIO_CB_RETURN) && result > 0 && processed != nullptr) {
    auto* const self = static_cast<Session*>(static_cast<void*>(BIO_get_callback_arg(bio)));
    self->bytes_left_ -= std::min(self->bytes_left_, *processed);
  }
  return result;
}

void Session::begin_step(std::size_t bytes) {
  asides_before_step_ = asides_;
  bytes_left_ = bytes;
}

std::unique_ptr<Session> Session::accept(std::shared_ptr<const ServerContext> context, int socket,
                                         std::string_view alpn) {
  std::unique_ptr<Session> made(new Session(context->first(), socket));
  made->context_ = std::move(context);
  if (!alpn.empty()) {
    made->alpn_served_ = static_cast<char>(alpn.size());
    made->alpn_served_ += alpn;
  }
  SSL_set_accept_state(made->ssl_.get());
  return made;
}

std::unique_ptr<Session> Session::connect(std::shared_ptr<const ClientContext> context, int socket,
                                          const std::string& host) {
  std::unique_ptr<Session> made(new Session(context->get(), socket));
  if (context->verifies()) made->verify_host(host);
  // RFC 6066, section 3: literal addresses are not sent.
  if (!is_address(host) && !host.empty() &&
      SSL_ctrl(made->ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(host.c_str())) != 1) {
    throw_error("the name of the host cannot be asked for");
  }
  made->context_ = std::move(context);
  SSL_set_connect_state(made->ssl_.get());
  return made;
}

void Session::verify_host(const std::string& host) {
  // An empty name would be no check at all.
  if (host.empty()) throw std::runtime_error("a TLS client needs the name of its host");
  SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = is_address(host)
                      ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str())
                      : SSL_set1_host(ssl_.get(), host.c_str());
  if (set != 1) throw_error("the name of the host cannot be checked");
}

Session& Session::of(const SSL* session) {
  return *static_cast<Session*>(SSL_get_app_data(session));
}

Outcome Session::fail() {
  failed_ = true;
  more_ = true;
  return Outcome::failed;
}

Outcome Session::fail_of_asides() {
  why_ = fmt::format("the peer sent more than {} messages of TLS in a row without any data",
                     kMostAside);
  ERR_clear_error();
  return fail();
}

// `errno` is still that of the call.
Outcome Session::outcome_of(int result, Way way) {
  const int error = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return Outcome::done;
    case SSL_ERROR_WANT_READ:
      return Outcome::wants_input;
    case SSL_ERROR_WANT_WRITE:
      return Outcome::wants_output;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::ended;
    case SSL_ERROR_SYSCALL:
      why_ = error != 0 ? std::generic_category().message(error) : "the connection has ended";
      ERR_clear_error();
      if (way == Way::in) return fail();
      // What the peer has sent before it went is still there to be read.
      output_broken_ = true;
      return Outcome::failed;
    default:
      break;
  }
  const long verified = SSL_get_verify_result(ssl_.get());
  const unsigned long reason = ERR_peek_error();
  if (ERR_GET_LIB(reason) == ERR_LIB_SSL &&
      ERR_GET_REASON(reason) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
    why_ = fmt::format("the certificate of the peer is refused: {}",
                       X509_verify_cert_error_string(verified));
    ERR_clear_error();
  } else if (ERR_GET_LIB(reason) == ERR_LIB_SSL &&
             ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    why_ = "the peer ended the connection without TLS's close_notify";
    ERR_clear_error();
  } else {
    why_ = "TLS: " + certificates::take_error();
  }
  return fail();
}

Outcome Session::handshake() {
  if (failed_) return Outcome::failed;
  ERR_clear_error();
  errno = 0;
  begin_step(2 * kRecord);
  const Outcome outcome = outcome_of(SSL_do_handshake(ssl_.get()), Way::in);
  input_wants_output_ = outcome == Outcome::wants_output;
  if (outcome != Outcome::failed && asides_ > kMostAside) return fail_of_asides();
  if (outcome == Outcome::ended) {
    why_ = "the peer ended the connection in the handshake";
    return fail();
  }
  if (outcome == Outcome::done) {
    established_ = true;
    asides_at_data_ = asides_;
    // The client's first bytes may have come with the end of its handshake.
    more_ = SSL_has_pending(ssl_.get()) == 1;
  }
  return outcome;
}

Outcome Session::read(std::span<char> into, std::size_t& got) {
  got = 0;
  more_ = false;
  if (failed_) return fail();
  auto outcome = Outcome::done;
  begin_step(into.size() + kRecord);
  while (got < into.size()) {
    ERR_clear_error();
    errno = 0;
    const int read = SSL_read(ssl_.get(), into.data() + got, clamp(into.size() - got));
    if (asides_ - asides_at_data_ > kMostAside) {
      outcome = fail_of_asides();
      break;
    }
    if (read > 0) {
      asides_at_data_ = asides_;
      got += static_cast<std::size_t>(read);
      // Without this look the end of what is there would cost a recv(2).
      if (SSL_has_pending(ssl_.get()) == 0 || had_many_asides()) break;
      continue;
    }
    outcome = outcome_of(read, Way::in);
    break;
  }
  input_wants_output_ = outcome == Outcome::wants_output;
  const bool over = outcome == Outcome::ended || outcome == Outcome::failed;
  // Where OpenSSL has got on it may do so again with what it holds; where it has not, that is a
  // part of a record, and its rest comes from the socket.
  const bool got_on = outcome == Outcome::done ||
                      (outcome == Outcome::wants_input && asides_ != asides_before_step_);
  more_ = over || (got_on && SSL_has_pending(ssl_.get()) == 1);
  return got == 0 ? outcome : Outcome::done;
}

Outcome Session::write(std::string_view data, std::size_t& put) {
  put = 0;
  output_wants_input_ = false;
  if (failed_ || output_ended_ || output_broken_) return Outcome::failed;
  // In the middle of a handshake message of the peer OpenSSL reads its rest first.
  begin_step(kRecord);
  while (put < data.size()) {
    ERR_clear_error();
    errno = 0;
    const int written = SSL_write(ssl_.get(), data.data() + put, clamp(data.size() - put));
    if (written > 0) {
      put += static_cast<std::size_t>(written);
      continue;
    }
    const Outcome outcome = outcome_of(written, Way::out);
    output_wants_input_ = outcome == Outcome::wants_input;
    return outcome;
  }
  return Outcome::done;
}

void Session::say_goodbye() {
  said_goodbye_ = true;
  end_output();
}

void Session::end_output() {
  if (std::exchange(output_ended_, true) || !established_ || failed_ || output_broken_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

const Facts& Session::facts() {
  if (facts_) return *facts_;
  Facts& facts = facts_.emplace();
  facts.version = SSL_get_version(ssl_.get());
  facts.cipher = SSL_get_cipher_name(ssl_.get());
  const unsigned char* alpn = nullptr;
  unsigned int alpn_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_size);
  if (alpn != nullptr) facts.alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (const char* const name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) {
    facts.server_name = name;
  }
  const bool verified = (SSL_get_verify_mode(ssl_.get()) & SSL_VERIFY_PEER) != 0 &&
                        SSL_get_verify_result(ssl_.get()) == X509_V_OK;
  if (const certificates::Certificate peer(SSL_get1_peer_certificate(ssl_.get()));
      peer && verified) {
    facts.peer_subject = subject_of(peer.get());
    facts.peer_fingerprint = fingerprint_of(peer.get());
  }
  return facts;
}

const appserver_tls_info& Session::info() {
  if (info_.size != 0) return info_;
  const Facts& known = facts();
  const auto view = [](const std::string& text) { return appserver_str{text.data(), text.size()}; };
  info_.size = sizeof(info_);
  info_.version = view(known.version);
  info_.cipher = view(known.cipher);
  info_.alpn = view(known.alpn);
  info_.server_name = view(known.server_name);
  info_.client_subject = view(known.peer_subject);
  info_.client_fingerprint = view(known.peer_fingerprint);
  return info_;
}

}  // namespace appserver::net::tls
