// A connection between two workers, or between the servers of one: what is needed to go on with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/ends.hpp"
#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::net {

struct Handed {
  // begun: nothing is known of it but what has come of its PROXY header, which is in `received`.
  enum class Kind : std::uint8_t { http, stream, websocket, begun };

  os::Fd connection;
  std::string received{};  // read already, but not served
  std::string listener{};  // as the configuration has it; may be empty for HTTP
  Kind kind = Kind::http;
  // Of connections that carry messages:
  std::string unsent{};  // of what was sent, the bytes that the kernel did not take
  std::string state{};   // what on_adopt is to know
  bool paused = false;
  // Of WebSockets:
  std::string subprotocol{};
  bool deflate = false;  // compression was agreed on
  // As its PROXY header had them; empty where they are the socket's own.
  Ends ends{};
  // Between the servers of one worker only: what has one does not go to another.
  std::unique_ptr<tls::Session> tls{};
};

}  // namespace appserver::net
