// Where a connection came in.
#pragma once

#include <string>

#include "net/stream/framing.hpp"

namespace appserver::net {

struct StreamListener {
  std::string text;      // as the configuration has it
  std::string protocol;  // what plugins call it; "websocket" for http and ws
  stream::Framing framing = stream::Framing::raw;
  // Of listeners that begin with HTTP:
  bool begins_with_http = false;
  bool only_websockets = false;  // ws: any other request is refused
};

}  // namespace appserver::net
