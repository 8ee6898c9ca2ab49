// What a gateway in memory keeps of its clients, and what its workers are to it.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <appserver/detail/testing/http_host.hpp>
#include <appserver/detail/testing/served.hpp>
#include <appserver/detail/testing/wire.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

struct GatewayEvent {
  enum class Kind { kConnect, kWebSocketOpen, kMessage, kClose };
  Kind kind = Kind::kConnect;
  std::uint32_t detail = 0;                         // the message's kind, or why it has ended
  std::uint32_t code = 0;                           // of a close
  std::string body = {};                            // the message, or more of why
  std::shared_ptr<const HttpRequest> request = {};  // of a WebSocket's opening
  bool redelivered = false;
  std::uint64_t place = 0;  // among those of all clients
};

class GatewayMember;

struct KeptClient {
  appserver_client_id id{};
  Served served = {};  // its connection
  std::size_t max_message = 0;
  std::size_t send_buffer = 0;

  std::string uid = {};
  std::set<std::string, std::less<>> groups = {};
  std::string session = {};
  std::uint64_t session_version = 0;

  GatewayMember* with = nullptr;
  std::deque<GatewayEvent> waiting = {};
  std::map<std::uint64_t, GatewayEvent> given = {};  // by number; not acknowledged yet
  bool over = false;                                 // its last event was acknowledged

  bool is_connected() const { return !served.closed; }
};

// What a worker has at a SharedGateway.
class GatewayMember {
 public:
  GatewayMember() = default;
  GatewayMember(const GatewayMember&) = delete;
  GatewayMember& operator=(const GatewayMember&) = delete;
  virtual ~GatewayMember() = default;
  // From now on it gets this one's events.
  virtual void assigned(const KeptClient& client) = 0;
  // It has another uid now.
  virtual void changed(const KeptClient& client) = 0;
  // The gateway worker of this number has ended.
  virtual void was_lost(std::uint64_t instance) = 0;
  virtual void complain(std::string_view text) = 0;
  // Its loop, until nothing is due.
  virtual void run() = 0;
};

// What a command came to.
struct GatewayResult {
  struct Record {
    appserver_client_id client;
    std::string uid;
    std::string session;
    std::uint64_t session_version;
  };
  std::int32_t status = APPSERVER_OK;
  bool partial = false;
  std::uint64_t number = 0;
  std::vector<Record> clients = {};
  std::map<std::string, std::uint64_t> names = {};
};

}  // namespace appserver::testing
