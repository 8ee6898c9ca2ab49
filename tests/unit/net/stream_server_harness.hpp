// A StreamServer with a scripted handler, and clients at the other ends of its connections, all on
// one thread.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http_server_harness.hpp"
#include "net/stream_server.hpp"

namespace appserver::test {

using std::chrono::milliseconds;

inline constexpr std::uint32_t kText = APPSERVER_MESSAGE_TEXT;
inline constexpr std::uint32_t kBinary = APPSERVER_MESSAGE_BINARY;

// Echoes, unless told otherwise.
class StreamScript final : public net::StreamHandler {
 public:
  struct Ended {
    appserver_connection connection;
    std::uint32_t reason;
    std::string text;
    bool had_context;
    std::uint32_t code;
  };

  bool on_connect(appserver_connection connection) override {
    connected.push_back(connection);
    return !on_connecting || on_connecting(connection);
  }
  WebSocketAnswer on_websocket_open(appserver_connection connection,
                                    const appserver_http_request& request) override {
    connected.push_back(connection);
    return on_opening ? on_opening(connection, request) : WebSocketAnswer{};
  }
  Outcome on_message(appserver_connection connection, std::uint32_t kind,
                     std::string_view message) override {
    messages.emplace_back(message);
    kinds.push_back(kind);
    if (on) return on(connection, message);
    server->send(connection, kind, message);
    return Outcome::good;
  }
  void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                std::string_view text) override {
    ended.push_back(
        {connection, reason, std::string(text), server->context(connection) != nullptr, code});
  }
  void on_buffer_full(appserver_connection) override { ++full; }
  void on_buffer_drain(appserver_connection) override { ++drained; }
  std::optional<std::string> on_handover(appserver_connection connection) override {
    return on_handing ? on_handing(connection) : std::nullopt;
  }
  bool on_adopt(appserver_connection connection, std::string_view state) override {
    connected.push_back(connection);
    adopted.emplace_back(state);
    return true;
  }
  bool has_own_framing() const override { return static_cast<bool>(measuring); }
  std::optional<std::uint64_t> measure(appserver_connection, std::string_view data) override {
    return measuring(data);
  }

  net::StreamServer* server = nullptr;
  std::function<bool(appserver_connection)> on_connecting;
  std::function<WebSocketAnswer(appserver_connection, const appserver_http_request&)> on_opening;
  std::function<Outcome(appserver_connection, std::string_view)> on;
  std::function<std::optional<std::string>(appserver_connection)> on_handing;
  std::function<std::optional<std::uint64_t>(std::string_view)> measuring;
  std::vector<appserver_connection> connected;
  std::vector<std::string> messages;
  std::vector<std::uint32_t> kinds;
  std::vector<std::string> adopted;
  std::vector<Ended> ended;
  int full = 0;
  int drained = 0;
};

inline net::StreamLimits small_stream_limits() {
  net::StreamLimits limits;
  limits.max_message = 1000;
  limits.send_buffer = 100'000;
  limits.message_timeout = milliseconds(1'000);
  limits.send_timeout = milliseconds(2'000);
  return limits;
}

inline std::shared_ptr<const net::StreamListener> listener_of(std::string scheme) {
  const auto framing = scheme == "text"    ? net::stream::Framing::text
                       : scheme == "frame" ? net::stream::Framing::frame
                                           : net::stream::Framing::raw;
  return std::make_shared<const net::StreamListener>(
      net::StreamListener{scheme + "://*:1", scheme, framing});
}

struct Streaming {
  explicit Streaming(const net::StreamLimits& limits = small_stream_limits())
      : server(context, limits, script, page) {
    script.server = &server;
  }

  Client connect(const std::string& scheme = "text") {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    server.serve(std::move(served), listener_of(scheme));
    return Client(std::move(client));
  }
  Client connect_tcp(const std::string& scheme = "text") {
    auto [served, client] = tcp_pair();
    server.serve(std::move(served), listener_of(scheme));
    return Client(std::move(client));
  }

  template <typename State>
  bool until(State&& state) {
    return run_until(context, state);
  }
  bool gets(Client& client, std::string_view all) {
    return until([&] {
             client.read_all();
             return client.received.size() >= all.size();
           }) &&
           client.received == all;
  }
  bool closes(Client& client) {
    return until([&] {
      client.read_all();
      return client.closed;
    });
  }
  // Time goes by, and what it causes happens.
  void pass(milliseconds time) {
    for (auto left = time; left.count() > 0; left -= net::TimerWheel::kTick) {
      server.tick();
      settle(context);
    }
  }

  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  StreamScript script;
  net::StreamServer server;
};

}  // namespace appserver::test
