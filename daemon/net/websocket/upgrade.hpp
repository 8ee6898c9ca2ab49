// The opening handshake of a WebSocket (RFC 6455, section 4.2; RFC 7692, section 7.1). Pure.
#pragma once

#include <appserver/abi/http.h>

#include <string>
#include <string_view>
#include <vector>

namespace appserver::net::websocket {

// What a request that wants to become a WebSocket must say; empty views where it does not.
struct UpgradeRequest {
  std::string_view method;
  unsigned version = 11;     // 10 or 11
  std::string_view upgrade;  // all values of each header, joined by ", "
  std::string_view connection;
  std::string_view key;
  std::string_view ws_version;  // Sec-WebSocket-Version
  std::string_view protocols;   // Sec-WebSocket-Protocol
  std::string_view extensions;  // Sec-WebSocket-Extensions
};

// Those of a whole request, which outlives it.
class UpgradeFields final {
 public:
  explicit UpgradeFields(const appserver_http_request& request);
  UpgradeFields(const UpgradeFields&) = delete;
  UpgradeFields& operator=(const UpgradeFields&) = delete;
  const UpgradeRequest& request() const { return request_; }

 private:
  UpgradeRequest request_;
  // Where a header stands more than once.
  std::string upgrade_;
  std::string connection_;
  std::string key_;
  std::string version_;
  std::string protocols_;
  std::string extensions_;
};

// Whether it asks for a WebSocket at all, well or badly.
bool wants_upgrade(const UpgradeRequest& request);

// Why it cannot have one; 0 where it can.
struct Refused {
  unsigned status = 0;  // 400, or 426 for another version
  const char* why = "";
};
Refused why_not(const UpgradeRequest& request);

// What it offers, in its order; names that are no token are left out.
std::vector<std::string_view> offered_protocols(std::string_view protocols);

// Whether an offer of permessage-deflate is among the extensions that can be served without context
// takeover on either side.
bool offers_deflate(std::string_view extensions);

// Sec-WebSocket-Accept for a key.
std::string accept_key(std::string_view key);

// The answer's head: 101, with what was agreed on. `protocol` empty: none.
std::string switching_head(std::string_view key, std::string_view protocol, bool deflate);

// A whole answer that refuses one and ends the connection, with a line of text. `date`: the
// header's line. With 426 it says what is spoken here.
std::string refusal(unsigned status, std::string_view why, std::string_view date);

}  // namespace appserver::net::websocket
