// The opening handshake of a WebSocket, the client's side (RFC 6455, section 4.1).
#pragma once

#include <string>
#include <vector>

#include "net/client/transport.hpp"

namespace appserver::net::client {

struct WebSocketWish {
  std::vector<Field> fields{};              // of the request, beside those of the handshake
  std::vector<std::string> subprotocols{};  // wanted most first
};

// Throws CallError (Failure::request) where it cannot be asked for.
void check_wish(const WebSocketWish& wish);

struct Upgraded {
  std::string subprotocol{};  // empty: none
  std::string received{};     // of the first frames, come with the answer
};

// Without compression. Throws CallError: response, where the server answers with anything else.
Work<Upgraded> open_websocket(Transport& transport, const Target& target,
                              const WebSocketWish& wish);

}  // namespace appserver::net::client
