// Clients of the talk plugin, over every protocol that carries messages.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "os/fd.hpp"
#include "support/deadline.hpp"
#include "support/endpoint.hpp"
#include "support/websocket.hpp"

namespace appserver::integration {

// One connection. Calls throw std::runtime_error where the deadline passes or the network fails.
class Talk {
 public:
  // At ws:// and http:// a WebSocket.
  explicit Talk(const Endpoint& endpoint, milliseconds patience = 15s, WebSocketWish wish = {});

  // The server's answer to the opening handshake.
  const std::string& opened() const { return opened_; }

  // How a message looks on the wire; over a WebSocket it is a text, compressed where that was
  // agreed on.
  std::string framed(std::string_view message) const;
  void send(std::string_view message);
  void send_bytes(std::string_view bytes);
  // The next message; nullopt where the server has ended the connection. Of a tcp connection what
  // has come, up to a line's end where there is one.
  std::optional<std::string> receive();
  std::string ask(std::string_view message);
  bool closed_by_server();
  // Of the close frame that has ended a WebSocket; 0: none.
  unsigned close_code() const { return close_code_; }
  const std::string& close_reason() const { return close_reason_; }
  void shut_down_sending();
  void close() { socket_.reset(); }
  int fd() const { return socket_.get(); }

 private:
  bool is_websocket() const { return scheme_ == "ws" || scheme_ == "http"; }
  void shake_hands(const Endpoint& endpoint, const WebSocketWish& wish);
  bool read_more(const Deadline& deadline);
  std::optional<std::string> take();
  std::optional<std::string> take_message();

  std::string scheme_;
  bool deflate_ = false;
  std::string opened_;
  unsigned close_code_ = 0;
  std::string close_reason_;
  milliseconds patience_;
  os::Fd socket_;
  std::string unread_;
  bool ended_ = false;
};

// Clients that talk until they are stopped, each on one connection that must outlive whatever
// happens, and that check that each message is answered once and in its order.
class TalkLoad {
 public:
  TalkLoad(Endpoint endpoint, int clients, WebSocketWish wish = {});
  ~TalkLoad();
  TalkLoad(const TalkLoad&) = delete;
  TalkLoad& operator=(const TalkLoad&) = delete;

  void wait_for_more(std::size_t answers, Deadline deadline = 30s) const;
  // What went wrong, a line each. Once.
  std::vector<std::string> stop();
  std::size_t answered() const { return answered_; }

 private:
  std::string run_client(unsigned seed);

  Endpoint endpoint_;
  WebSocketWish wish_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> answered_{0};
  std::vector<std::string> problems_;
  std::vector<std::thread> clients_;
};

}  // namespace appserver::integration
