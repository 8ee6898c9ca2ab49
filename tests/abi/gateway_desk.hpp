// A plugin behind a gateway that keeps what its hooks got.
#pragma once

#include <appserver/plugin.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace appserver::test {

using Lines = std::vector<std::string>;

// Keeps what its hooks got, and does what the test says.
class Desk final : public Plugin {
 public:
  void on_client_connect(GatewayClient& client) override {
    heard.push_back("connect " + std::string(client.protocol()));
    if (at_connect) at_connect(client);
  }
  void on_client_websocket_open(GatewayClient& client, const Request& request) override {
    heard.push_back("open " + std::string(request.target()) + " of " +
                    std::string(request.remote()) + " at " + std::string(client.listener()));
  }
  void on_client_message(GatewayClient& client, Message message) override {
    heard.push_back((client.redelivered() ? "again " : "") +
                    std::string(message.is_text() ? "text " : "bytes ") + std::string(message));
    if (at_message) at_message(client, message);
  }
  void on_client_close(GatewayClient& client, Close close) override {
    heard.push_back("close " + std::to_string(static_cast<unsigned>(close.reason)) + " " +
                    std::to_string(close.code) + " " + std::string(close.text) + " of " +
                    std::string(client.uid()) + "/" + std::string(client.session()));
  }
  Task<void> on_request_async(Request&, Response& response) override {
    const auto room = co_await awaitable<GatewayAnswer<std::uint64_t>>(
        [&](auto done) { gateway().count(Audience::group("room"), done); });
    const auto online = co_await awaitable<GatewayAnswer<bool>>(
        [&](auto done) { gateway().is_uid_online("ada", done); });
    response.text(std::to_string(room.value) + (online.value ? " with ada" : " without ada"));
  }

  Gateway& gateway() { return worker().gateway(); }
  Worker& its_worker() { return worker(); }

  Lines heard;
  std::function<void(GatewayClient&)> at_connect;
  std::function<void(GatewayClient&, Message)> at_message;
};

}  // namespace appserver::test
