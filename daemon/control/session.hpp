// One connection of the control server: reads one request, has it answered, closes. Internal to
// this room.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/routes.hpp"
#include "control/server.hpp"

namespace appserver::control {

using ControlSocket = boost::asio::basic_stream_socket<boost::asio::local::stream_protocol,
                                                       boost::asio::io_context::executor_type>;
using ControlTimer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>;

// Keeps itself alive while an operation is pending. Knows the server by `commands` only, which
// close() forgets.
class Session final : public std::enable_shared_from_this<Session> {
 public:
  // `on_close` is called once, when the connection is closed.
  Session(ControlSocket socket, const ServerOptions& options, Peer peer, Commands& commands,
          std::function<void(Session&)> on_close);

  void start();

  const Peer& peer() const { return peer_; }

  // Closes at once; what is queued and does not fit into the kernel's buffer is lost. Safe to call
  // twice.
  void close();

  // The events of a rollout, as chunks. The first one also sends the head.
  void send_event(const RolloutEvent& event);

  // No more events will come.
  bool is_closed() const { return commands_ == nullptr; }
  void end_events();

 private:
  void on_head(boost::beast::error_code error);
  void on_request(boost::beast::error_code error);
  void dispatch(const std::shared_ptr<EventStream>& events);
  void run(const Order& order, const std::shared_ptr<EventStream>& events);
  void run_rollout(Verb verb, const std::shared_ptr<EventStream>& events);
  void show_rollout();
  void show_history();
  void show_crashes();
  void show_crash(std::uint64_t number);
  void ask_gateway(const std::shared_ptr<EventStream>& events);
  void stop(const StopRequest& request);
  void answer(unsigned status, const boost::json::value& body, std::string_view allow = {});
  void refuse(unsigned status, std::string error, std::string hint);
  void refuse_malformed(boost::beast::error_code error);
  void begin_stream();
  void watch_for_hangup();
  void send(std::string_view bytes);
  void finish();
  void pump();
  void clear_deadline();
  void set_deadline(std::chrono::milliseconds timeout);

  ControlSocket socket_;
  ControlTimer deadline_;
  ServerOptions options_;
  Peer peer_;
  Verb verb_ = Verb::status;  // once the request is there
  Commands* commands_;
  std::function<void(Session&)> on_close_;
  boost::beast::flat_buffer buffer_;
  boost::beast::http::request_parser<boost::beast::http::string_body> parser_;
  std::string out_;  // not yet taken by the kernel
  std::uint64_t deadline_id_ = 0;
  std::size_t max_body_;
  bool waiting_to_write_ = false;
  bool streaming_ = false;  // the head of a stream was sent
  bool chunked_ = true;     // HTTP/1.0 callers read until the connection closes
  bool finishing_ = false;  // nothing is added to out_ any more
  bool reading_ = true;     // the deadline is that of the request
};

}  // namespace appserver::control
