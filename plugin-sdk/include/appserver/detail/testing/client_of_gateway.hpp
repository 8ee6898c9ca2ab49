// The client's side of one connection to a gateway.
#pragma once

#include <appserver/client_id.hpp>
#include <appserver/detail/testing/gateway_clients.hpp>
#include <appserver/detail/testing/shared_gateway.hpp>
#include <appserver/detail/testing/wire.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// It takes what is sent to it at once, unless told not to. What it does runs the harness that it is
// with. May outlive all of them.
class ClientOfGateway {
 public:
  ClientOfGateway(std::shared_ptr<SharedGateway> gateway, std::shared_ptr<KeptClient> client)
      : gateway_(std::move(gateway)), client_(std::move(client)) {}

  ClientId id() const { return ClientId(client_->id); }

  // A message; over tcp:// bytes. Throws std::invalid_argument for what the protocol does not let
  // be one. False: the connection has ended.
  bool send(std::string_view message) { return send(message, true); }
  // Over a WebSocket one that is no text.
  bool send_binary(std::string_view message) { return send(message, false); }

  // The next message that came; over tcp:// all bytes that have. Nullopt: there is none.
  std::optional<std::string> receive() {
    gateway_->settle();
    return take_received(wire());
  }
  // All that have come, and off it.
  std::vector<Received> receive_all() {
    gateway_->settle();
    std::vector<Received> all(wire().received.begin(), wire().received.end());
    wire().received.clear();
    return all;
  }

  // From now on nothing that is sent to it is taken; read() takes all of it.
  void stop_reading() { wire().reads = false; }
  void read() {
    wire().reads = true;
    run();
  }

  // Ends it; a WebSocket with this code, 0 for none.
  void close(std::uint16_t code = 1000, std::string_view reason = {}) {
    if (!is_open()) return;
    end(APPSERVER_CLOSED_BY_PEER, std::string(reason), code);
  }
  // Cuts it off.
  void reset() {
    if (client_->is_connected()) end(APPSERVER_CLOSED_FAILURE, "Connection reset by peer", 0);
  }

  bool is_open() const { return client_->is_connected() && !is_ending(client_->served); }
  // The gateway has cut it: destroyed, too slow, or the gateway worker has ended.
  bool was_reset() const { return wire().was_reset; }
  // What a WebSocket was closed with; 0: it was not.
  unsigned close_code() const { return wire().close_code; }
  const std::string& close_reason() const { return wire().close_reason; }

  // What the gateway keeps of it; nothing once it has ended.
  std::string uid() const { return client_->is_connected() ? client_->uid : ""; }
  std::set<std::string> groups() const { return {client_->groups.begin(), client_->groups.end()}; }
  std::string session() const { return client_->is_connected() ? client_->session : ""; }
  std::uint64_t session_version() const { return client_->session_version; }

 private:
  Wire& wire() const { return *client_->served.wire; }

  void run() {
    gateway_->settle();
    if (client_->with != nullptr) client_->with->run();
  }
  bool send(std::string_view message, bool is_text) {
    if (!is_open()) return false;
    const Protocol protocol = wire().protocol;
    const bool text = protocol == Protocol::kText || (protocol == Protocol::kWebSocket && is_text);
    if (!can_be_message(protocol, text, message))
      throw std::invalid_argument(std::string("ClientOfGateway::send: no message of ") +
                                  protocol_name(protocol));
    if (protocol == Protocol::kTcp && message.empty()) return true;
    if (message.size() > client_->max_message) {
      constexpr std::uint16_t kTooBig = 1009;
      client_->served.reason = APPSERVER_CLOSED_LIMIT;
      client_->served.why = "a message over limits.max_message";
      client_->served.code = kTooBig;
      client_->served.closing = true;
    } else {
      const std::uint32_t kind = text ? APPSERVER_MESSAGE_TEXT : APPSERVER_MESSAGE_BINARY;
      gateway_->add(*client_, {GatewayEvent::Kind::kMessage, kind, 0, std::string(message)});
    }
    run();
    return true;
  }
  void end(std::uint32_t reason, const std::string& why, std::uint16_t code) {
    if (wire().protocol == Protocol::kWebSocket) wire().client_code = code;
    wire().client_closed = true;
    gateway_->finish(*client_, reason, why);
    run();
  }

  std::shared_ptr<SharedGateway> gateway_;
  std::shared_ptr<KeptClient> client_;
};

}  // namespace appserver::testing
