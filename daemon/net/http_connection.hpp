// One HTTP/1.x connection: reads, hands requests over one at a time, writes answers in their order.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_server.hpp"

namespace appserver::net {

// Waits for readiness and reads by itself into the worker's scratch buffer, so that an idle
// connection holds no buffer and has no byte outside the kernel: that is what makes handing it over
// free of races. Owned by HttpServer, which keeps it while a wait of it is outstanding.
class HttpConnection final : private TimerWheel::Entry {
 public:
  HttpConnection(HttpServer& server, std::uint32_t index, os::Fd socket, std::string received);

  void begin();
  // A turn that no socket event began: an answer came from outside, or the drain began.
  void run_scheduled();

  bool is_head() const { return answer_to_.head_method; }
  appserver_exchange exchange() const { return exchange_; }
  bool busy() const { return exchange_ != 0 || pending_output() > 0 || in_body_; }

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
  void on_readable();
  void on_writable();
  void turn(std::string_view data);
  void process(std::string_view data);
  bool may_begin_request() const;
  http::Progress read_request(std::string_view& data);
  void hand_to_plugin(http::Request& request);
  void refuse(const http::Refusal& refusal);
  void count_status(std::uint32_t status);
  void end_exchange();
  void forget_exchange();
  std::string& out();
  // As the answer is written: a drain may have begun since the request came.
  const http::AnswerTo& current_answer_to();
  std::string_view remote();
  std::int32_t append_piece(std::string_view piece);
  void flush();
  bool send_some(std::string_view data, std::size_t& sent);
  void next_wait();
  void wait_for_input();
  void wait_for_output();
  void set_timeout();
  void end_after_answer();
  void discard_input();
  void end_if_idle();
  bool has_unread_input();
  void move_to_successor();
  void close();
  void settle();
  std::size_t pending_output() const { return output_.size() - output_sent_; }

  HttpServer& server_;
  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  std::string input_;   // read, not yet consumed
  std::string output_;  // what the kernel would not take yet
  std::size_t output_sent_ = 0;
  std::string remote_;
  std::unique_ptr<http::RequestReader> reader_;  // while in the middle of a request
  appserver_exchange exchange_ = 0;
  std::chrono::steady_clock::time_point began_;  // of the exchange
  std::uint64_t body_left_ = 0;                  // of a streamed answer of known length
  std::uint64_t body_seen_ = 0;                  // of the request, when its rate was last looked at
  http::AnswerTo answer_to_;
  http::BodyMode body_mode_ = http::BodyMode::none;
  std::uint32_t index_;
  std::uint32_t outstanding_ = 0;  // handlers that will still run
  bool reading_ = false;
  bool writing_ = false;
  bool in_turn_ = false;
  bool deferred_ = false;
  bool streaming_ = false;
  bool in_body_ = false;
  bool timing_request_ = false;  // the wheel holds the limit of the head or the body at hand
  bool timing_output_ = false;   // the wheel holds the limit of a client that takes nothing
  bool close_when_sent_ = false;
  bool lingering_ = false;
  bool refused_ = false;
  bool aborted_ = false;
  bool scheduled_ = false;
  bool closed_ = false;
};

}  // namespace appserver::net
