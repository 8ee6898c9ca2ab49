// A Connector beside a StreamServer, and one that notes what it is told.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/client/connector.hpp"
#include "net/websocket/frame.hpp"
#include "net/websocket/upgrade.hpp"
#include "scripted_server.hpp"
#include "stream_server_harness.hpp"

namespace appserver::test {

using namespace net::client;

// Notes what it is told.
class Recorder final : public ConnectEvents {
 public:
  bool on_open(appserver_connection connection) override {
    opened.push_back(connection);
    return !opens || opens(connection);
  }
  net::StreamHandler::Outcome on_message(appserver_connection connection, std::uint32_t kind,
                                         std::string_view message) override {
    messages.emplace_back(message);
    kinds.push_back(kind);
    return hears ? hears(connection) : net::StreamHandler::Outcome::good;
  }
  void on_close(appserver_connection, const Ended& end) override {
    ended.push_back({end.reason, end.code, std::string(end.text), end.again.has_value()});
    if (closes) closes();
  }
  void on_buffer_full(appserver_connection) override { ++full; }
  void on_buffer_drain(appserver_connection) override { ++drained; }
  void on_failed(Failure failure, std::string_view why,
                 std::optional<milliseconds> again) override {
    failures.push_back({failure, std::string(why), again});
    if (fails) fails();
  }

  struct End {
    std::uint32_t reason;
    std::uint32_t code;
    std::string text;
    bool again;
  };
  struct Failed {
    Failure failure;
    std::string why;
    std::optional<milliseconds> again;
  };
  std::function<bool(appserver_connection)> opens;
  std::function<net::StreamHandler::Outcome(appserver_connection)> hears;
  std::function<void()> closes;
  std::function<void()> fails;
  std::vector<appserver_connection> opened;
  std::vector<std::string> messages;
  std::vector<std::uint32_t> kinds;
  std::vector<End> ended;
  std::vector<Failed> failures;
  int full = 0;
  int drained = 0;
};

struct Connecting : Streaming {
  Connecting() : connector(context, server) { std::signal(SIGPIPE, SIG_IGN); }

  Connector::ConnectId start(const std::string& url, ConnectOptions options = {}) {
    return connector.start(url, std::move(options), events);
  }
  bool opens() {
    return until([&] { return !events->opened.empty(); });
  }
  bool ends() {
    return until([&] { return !events->ended.empty(); });
  }
  bool fails() {
    return until([&] { return !events->failures.empty(); });
  }

  std::shared_ptr<Recorder> events = std::make_shared<Recorder>();
  Connector connector;
};

inline std::string local(const ScriptedServer& server, const std::string& scheme) {
  return scheme + "://127.0.0.1:" + server.port();
}

// The head of a WebSocket's answer to this request.
inline std::string accepting(const std::string& request, const std::string& protocol = {}) {
  const auto at = request.find("Sec-WebSocket-Key: ");
  return net::websocket::switching_head(request.substr(at + 19, 24), protocol, false);
}

// What a client's frame holds; empty where it is not masked.
inline std::string unmasked(std::string frame) {
  net::websocket::FrameHead head;
  std::size_t size = 0;
  if (net::websocket::parse_head(frame, head, size) != net::websocket::HeadResult::whole) return {};
  net::websocket::unmask(std::span<char>(frame).subspan(size), head.mask);
  return frame.substr(size, static_cast<std::size_t>(head.length));
}

inline std::string server_frame(net::websocket::Opcode opcode, std::string_view payload) {
  std::string frame;
  net::websocket::append_frame(frame, opcode, payload);
  return frame;
}

}  // namespace appserver::test
