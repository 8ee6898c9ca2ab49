// Where a connection came in.
#pragma once

#include <memory>
#include <string>

#include "net/stream/framing.hpp"
#include "net/tls/context.hpp"

namespace appserver::net {

struct StreamListener {
  std::string text;      // as the configuration has it
  std::string protocol;  // what plugins call it; "websocket" for http and ws
  stream::Framing framing = stream::Framing::raw;
  // Of listeners that begin with HTTP:
  bool begins_with_http = false;
  bool only_websockets = false;              // ws: any other request is refused
  std::shared_ptr<const tls::Server> tls{};  // null: none
  bool behind_proxy = false;                 // each connection begins with a PROXY header
  bool is_udp = false;                       // no connections at all
  // No clients come in here, but business workers of other daemons.
  bool is_link = false;
  bool is_link_under_tls = false;
};

}  // namespace appserver::net
