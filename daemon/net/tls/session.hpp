// TLS on one connected, non-blocking stream socket: RFC 8446 and RFC 5246 as OpenSSL has them.
#pragma once

#include <appserver/abi/tls.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/tls/context.hpp"

namespace appserver::net::tls {

// Of an attempt to go on; after a `wants_` one the same is to be tried again once the socket can be
// read or written. `ended`: the peer has said that nothing more comes (close_notify). `failed`: for
// good, Session::why() says why.
enum class Outcome { done, wants_input, wants_output, ended, failed };

struct Facts {
  std::string version;      // "TLSv1.3"
  std::string cipher;       // as OpenSSL calls it: "TLS_AES_256_GCM_SHA384"
  std::string alpn;         // empty: none was agreed on
  std::string server_name;  // that the client asked for; empty: none
  // Of the certificate that the peer has shown and that was found good; empty without one.
  std::string peer_subject;      // RFC 2253: "CN=alice,O=Example"
  std::string peer_fingerprint;  // SHA-256 in hex
};

// The socket is not owned, keeps its number, and outlives this. Writes raise SIGPIPE where the peer
// is gone and the signal is not ignored. On one thread.
class Session final {
 public:
  // The server's side. `alpn`: the one protocol that is served ("http/1.1"); a client that offers
  // others only is refused. Empty: the client's offer is not looked at. Throws std::runtime_error.
  static std::unique_ptr<Session> accept(std::shared_ptr<const ServerContext> context, int socket,
                                         std::string_view alpn);
  // The client's side, to a server whose certificate must be for `host`, a name or a literal
  // address, if the context verifies. Throws std::runtime_error.
  static std::unique_ptr<Session> connect(std::shared_ptr<const ClientContext> context, int socket,
                                          const std::string& host);

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Messages of TLS itself that a peer may send in a row without a byte of data: handshake messages
  // (key updates, tickets, attempts to renegotiate) and alerts. One that sends more has failed.
  static constexpr std::uint64_t kMostAside = 32;

  bool is_established() const { return established_; }
  // Until `done`; read() and write() only after that.
  Outcome handshake();

  // As much as there is and fits, but no more than a bounded number of messages of TLS itself: what
  // is left then is there for the next one. `got` is 0 unless `done`.
  Outcome read(std::span<char> into, std::size_t& got);
  // A read would give something, or the end, though the socket may have nothing: it must not be
  // waited for.
  bool has_input() const { return more_ && !said_goodbye_; }
  // What the last read() or handshake() waits for is that the socket can be written.
  bool input_wants_output() const { return input_wants_output_ && !said_goodbye_; }

  // `put`: how much was taken. After a `wants_` one the next attempt must begin with the same
  // bytes. Where the socket takes no more it has failed, and what has come can still be read.
  Outcome write(std::string_view data, std::size_t& put);
  bool output_wants_input() const { return output_wants_input_; }

  // close_notify, as far as the socket takes it at once. Nothing is written or read after that.
  void say_goodbye();
  // The same, but what the peer still sends is read (RFC 8446, section 6.1).
  void end_output();

  // In words, of what has failed.
  const std::string& why() const { return why_; }
  // Of an established one; valid for its life.
  const Facts& facts();
  // The same for plugins.
  const appserver_tls_info& info();

  // For callbacks of OpenSSL.
  static Session& of(const SSL* session);
  const std::string& alpn_served() const { return alpn_served_; }

 private:
  Session(SSL_CTX* context, int socket);
  void verify_host(const std::string& host);
  enum class Way { in, out };
  Outcome outcome_of(int result, Way way);
  Outcome fail();
  Outcome fail_of_asides();

  // One step of handshake() or read() begins: what OpenSSL may take from the socket in it.
  void begin_step(std::size_t bytes);
  bool had_many_asides() const { return asides_ - asides_before_step_ >= kMostAside; }
  static void on_message(int is_sent, int, int type, const void*, std::size_t, SSL*, void* self);
  static long on_bio(BIO* bio, int operation, const char*, std::size_t, int, long, int result,
                     std::size_t* processed);

  std::shared_ptr<const void> context_;
  Ssl ssl_;
  std::string alpn_served_;  // in the form of the wire
  std::string why_;
  std::optional<Facts> facts_;
  appserver_tls_info info_{};  // views of facts_
  std::uint64_t asides_ = 0;   // messages that came and were no data
  std::uint64_t asides_at_data_ = 0;
  std::uint64_t asides_before_step_ = 0;
  std::size_t bytes_left_ = 0;  // that OpenSSL may still ask the socket for in this step
  bool established_ = false;
  bool failed_ = false;
  bool said_goodbye_ = false;
  bool output_ended_ = false;
  bool output_broken_ = false;  // the socket takes nothing any more
  bool more_ = false;
  bool input_wants_output_ = false;
  bool output_wants_input_ = false;
};

}  // namespace appserver::net::tls
