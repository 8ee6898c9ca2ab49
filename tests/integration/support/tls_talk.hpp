// A TLS client of any address of a daemon; each call waits until its deadline at most.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "certificate_maker.hpp"
#include "support/deadline.hpp"
#include "support/endpoint.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace appserver::integration {

struct TlsWish {
  std::string authority;          // PEM of who is trusted
  std::string name{"localhost"};  // asked for (SNI), and verified
  test::Made identity{};          // shown to the server, where it is not empty
  std::string preamble{};         // bytes before the handshake
};

class TlsTalk {
 public:
  // Connects and shakes hands. Throws std::runtime_error with the reason.
  TlsTalk(const Endpoint& endpoint, const TlsWish& wish, milliseconds patience = 20s);
  TlsTalk(const TlsTalk&) = delete;
  TlsTalk& operator=(const TlsTalk&) = delete;
  ~TlsTalk();

  void send(std::string_view bytes);
  // What has come up to and with `end`; nullopt where the connection ends before.
  std::optional<std::string> receive_until(std::string_view end);
  std::optional<std::string> receive(std::size_t size);
  // A GET, and the answer's body; nullopt where the connection ends before all of it has come.
  std::optional<std::string> get(const std::string& path);
  // The answer of the last get() said that the connection ends.
  bool told_to_close() const { return told_to_close_; }
  // True once the server has said close_notify; false where it ended otherwise.
  bool ends_politely();

  std::string server_common_name() const;
  bool ended() const { return ended_; }

 private:
  // One read; false at the end.
  bool read_more();
  [[noreturn]] void fail(const std::string& what, int result);

  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
  os::Fd socket_;
  std::string unread_;
  bool ended_ = false;
  bool politely_ = false;
  bool told_to_close_ = false;
};

}  // namespace appserver::integration
