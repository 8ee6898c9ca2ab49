// One HTTP/1.x connection: reads, hands requests over one at a time, writes answers in their order.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/connection.hpp"
#include "net/http/body_coder.hpp"
#include "net/http_server.hpp"

namespace appserver::net {

// Owned by HttpServer, which keeps it while a wait of it is outstanding.
class HttpConnection final : public Connection {
 public:
  HttpConnection(HttpServer& server, std::uint32_t index, os::Fd socket, std::string received,
                 std::shared_ptr<const StreamListener> listener, std::unique_ptr<tls::Session> tls,
                 Ends ends);

  void begin();
  // A turn that no socket event began: an answer came from outside, or the drain began.
  void run_scheduled();

  bool is_head() const { return answer_to_.head_method; }
  appserver_exchange exchange() const { return exchange_; }
  bool busy() const { return exchange_ != 0 || pending_output() > 0 || in_body_ || coder_; }
  // Of the answer: bytes that wait for the client, and before that for their compression.
  std::size_t unsent() const { return pending_output() + (coder_ ? coder_->waiting() : 0); }

  std::int32_t respond(const appserver_http_response& response);
  std::int32_t defer();
  std::int32_t start(const appserver_http_response& response, std::int64_t content_length);
  std::int32_t write(std::string_view piece);
  std::int32_t write_promised(std::string_view piece);
  std::int32_t finish();
  std::int32_t abort();
  // The plugin failed: 500 where nothing of the answer is out yet, else the connection is cut.
  std::int32_t fail();

 private:
  friend class HttpServer;

  void on_timeout() override;
  void on_readable() override;
  void on_writable() override;
  void go_on_with_handshake();
  void complain_of_proxy_header();
  void turn(std::string_view data);
  void process(std::string_view data);
  bool may_begin_request() const;
  http::Progress read_request(std::string_view& data);
  void hand_to_plugin(http::Request& request);
  bool begins_websocket(http::Request& request, std::string_view behind);
  void upgrade(http::Request& request, std::string_view behind);
  void refuse_upgrade(unsigned status, std::string_view why);
  void refuse(const http::Refusal& refusal);
  void count_status(std::uint32_t status);
  void end_exchange();
  void forget_exchange();
  std::string& out();
  // As the answer is written: a drain may have begun since the request came.
  const http::AnswerTo& current_answer_to();
  std::int32_t append_piece(std::string_view piece);
  // Of a streamed answer more waits than may, though the kernel was given what it takes.
  bool is_full();
  void send_now();
  // `streamed`: in pieces, `length` being what was announced.
  http::Coding coding_for(const appserver_http_response& response,
                          std::optional<std::uint64_t> length, bool streamed) const;
  void write_whole(const appserver_http_response& response);
  // False: not all of it was, for want of time; `rest` is left, and what was is in the server's.
  bool compress_whole(std::string_view& rest);
  void write_compressed(const appserver_http_response& response, const http::Coding& coding);
  // The rest of a whole answer in pieces. False where that cannot be: nothing is written.
  bool go_on_in_pieces(const appserver_http_response& response, const http::Coding& coding,
                       std::string_view rest);
  // Of an answer in pieces; false where there are too many already.
  bool begin_coding(std::unique_ptr<Deflater> begun = nullptr);
  void end_coding();
  // A piece, if the turn allows it.
  void compress_waiting();
  void append_coded(std::string_view coded);
  void flush_turn();
  void next_wait();
  void watch_client();
  void look_at_client();
  void set_timeout();
  void end_after_answer();
  void discard_input();
  void end_if_idle();
  // Its state under TLS is this process's: such a connection is served here until it can end.
  bool moves() const { return server_.sink_ != nullptr && tls() == nullptr; }
  bool ends_politely() const {
    return server_.polite_drain_ || (server_.sink_ != nullptr && tls() != nullptr);
  }
  void move_to_successor();
  void close();
  void settle() override;

  HttpServer& server_;
  std::shared_ptr<const StreamListener> listener_;  // null: no WebSocket may begin here
  std::string input_;                               // read, not yet consumed
  std::unique_ptr<http::RequestReader> reader_;     // while in the middle of a request
  appserver_exchange exchange_ = 0;
  std::chrono::steady_clock::time_point began_;  // of the exchange
  std::unique_ptr<http::BodyCoder> coder_;       // until its answer is written
  std::uint64_t body_left_ = 0;                  // of a streamed answer of known length
  std::uint64_t body_seen_ = 0;                  // of the request, when its rate was last looked at
  http::AnswerTo answer_to_;
  http::BodyMode body_mode_ = http::BodyMode::none;
  std::uint32_t index_;
  bool in_turn_ = false;
  bool deferred_ = false;
  bool streaming_ = false;
  bool counted_ = false;  // streamed under a known length, and body_left_ holds
  bool in_body_ = false;
  bool timing_request_ = false;  // the wheel holds the limit of the handshake, head or body at hand
  bool close_when_sent_ = false;
  bool lingering_ = false;
  bool refused_ = false;
  bool aborted_ = false;
  bool broken_ = false;     // the kernel refused what was sent in the midst of a turn
  bool told_gone_ = false;  // of the exchange
};

}  // namespace appserver::net
