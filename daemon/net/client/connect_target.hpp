// Whom the URL of an outbound connection means, and what is spoken there. Pure.
#pragma once

#include <string>
#include <string_view>

#include "net/client/target.hpp"
#include "net/stream/framing.hpp"

namespace appserver::net::client {

struct ConnectTarget {
  Target target{};       // `resource` is a WebSocket's
  std::string protocol;  // as plugins call it: "tcp", "text", "frame", "websocket"
  stream::Framing framing = stream::Framing::raw;
  bool is_websocket() const { return protocol == "websocket"; }
};

// tcp, text, frame, ws, and with TLS tls, text+tls, frame+tls, wss: each as text://host:port or
// text://unix:/path/of/socket, WebSockets as ws://host/path and ws://unix:/path/of/socket:/path.
// Throws CallError (Failure::request).
ConnectTarget parse_connect_target(std::string_view url);

}  // namespace appserver::net::client
