#include "support/tls_talk.hpp"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>

#include "certificates/pem.hpp"
#include "os/error.hpp"

namespace appserver::integration {

TlsTalk::TlsTalk(const Endpoint& endpoint, const TlsWish& wish, milliseconds patience) {
  std::signal(SIGPIPE, SIG_IGN);
  int error = 0;
  socket_ = begin_connect(endpoint, error);
  pollfd connected{socket_.get(), POLLOUT, 0};
  if (error == EINPROGRESS) ::poll(&connected, 1, static_cast<int>(patience.count()));
  // From here on the kernel watches the deadline of each call.
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  ::fcntl(socket_.get(), F_SETFL, flags & ~O_NONBLOCK);
  const timeval limit{patience.count() / 1000, (patience.count() % 1000) * 1000};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  // With the handshake's first message in one segment.
  ::send(socket_.get(), wish.preamble.data(), wish.preamble.size(), MSG_NOSIGNAL | MSG_MORE);
  context_ = SSL_CTX_new(TLS_client_method());
  for (const auto& one : certificates::read_certificates(wish.authority))
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), one.get());
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  if (!wish.identity.chain.empty()) {
    SSL_CTX_use_certificate(context_,
                            certificates::read_certificates(wish.identity.chain).front().get());
    SSL_CTX_use_PrivateKey(context_, certificates::read_key(wish.identity.key).get());
  }
  ssl_ = SSL_new(context_);
  SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
           const_cast<char*>(wish.name.c_str()));  // NOLINT: SSL_set_tlsext_host_name()
  SSL_set1_host(ssl_, wish.name.c_str());
  SSL_set_fd(ssl_, socket_.get());
  ERR_clear_error();
  const int result = SSL_connect(ssl_);
  if (result == 1) return;
  std::string why = certificates::take_error();
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  throw std::runtime_error("handshake with " + endpoint.text() + ": " + why);
}

TlsTalk::~TlsTalk() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

void TlsTalk::fail(const std::string& what, int result) {
  const int error = SSL_get_error(ssl_, result);
  throw std::runtime_error(what + ": error " + std::to_string(error) + ", errno " +
                           std::to_string(errno) + ": " + certificates::take_error());
}

void TlsTalk::send(std::string_view bytes) {
  ERR_clear_error();
  const int result = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  if (result <= 0) fail("SSL_write", result);
}

bool TlsTalk::read_more() {
  if (ended_) return false;
  std::array<char, 16'384> buffer;
  ERR_clear_error();
  const int got = SSL_read(ssl_, buffer.data(), static_cast<int>(buffer.size()));
  if (got > 0) {
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
  }
  const int error = SSL_get_error(ssl_, got);
  if (error == SSL_ERROR_WANT_READ) throw std::runtime_error("nothing comes from the server");
  ended_ = true;
  politely_ = error == SSL_ERROR_ZERO_RETURN;
  return false;
}

std::optional<std::string> TlsTalk::receive_until(std::string_view end) {
  for (;;) {
    const auto at = unread_.find(end);
    if (at != std::string::npos) return receive(at + end.size());
    if (!read_more()) return std::nullopt;
  }
}

std::optional<std::string> TlsTalk::receive(std::size_t size) {
  while (unread_.size() < size) {
    if (!read_more()) return std::nullopt;
  }
  std::string bytes = unread_.substr(0, size);
  unread_.erase(0, size);
  return bytes;
}

std::optional<std::string> TlsTalk::get(const std::string& path) {
  send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto head = receive_until("\r\n\r\n");
  if (!head) return std::nullopt;
  told_to_close_ = head->find("Connection: close") != std::string::npos;
  constexpr std::string_view kLength = "Content-Length: ";
  const auto at = head->find(kLength);
  if (at == std::string::npos) throw std::runtime_error("an answer without a length: " + *head);
  return receive(std::stoul(head->substr(at + kLength.size(), 20)));
}

bool TlsTalk::ends_politely() {
  while (read_more()) {
  }
  return politely_;
}

std::string TlsTalk::server_common_name() const {
  const certificates::Certificate peer(SSL_get1_peer_certificate(ssl_));
  std::array<char, 256> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  return name.data();
}

}  // namespace appserver::integration
