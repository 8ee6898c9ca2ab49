// What may be asked of the clients of a gateway from outside its business groups, and what comes of
// it, as values and as JSON. appserverctl, the daemon and its gateway workers speak it alike.
//
// POST /v1/gateway {"gateway": "gate", "verb": word, "scope": "all|clients|uids|groups",
//                   "of": [text], "except": [client id], "text": text | "base64": text,
//                   "code": number, "name": text, "expected": number, "sessions": bool,
//                   "timeout_ms": number}
// answers one GatewayReply:
//   {"partial", "error": "no_client|conflict|invalid|full|too_large|not_sent" | null, "count",
//    "failed", "version", "clients": [{"client", "uid": text | null, "version",
//    "session": text | null, "session_base64": text | null}], "names": [{"name", "count"}]}
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::control {

// Of the request's whole body, and of a message in it once it is decoded.
inline constexpr std::size_t kMaxGatewayRequest = std::size_t{2} << 20;
inline constexpr std::size_t kMaxGatewayMessage = std::size_t{1} << 20;
// Of a request as to_json() gives it, which may be somewhat longer than it came.
inline constexpr std::size_t kMaxGatewayAsk = 2 * kMaxGatewayRequest;
inline constexpr std::size_t kMaxGatewaySession = std::size_t{64} << 10;
inline constexpr std::size_t kMaxGatewayName = 255;
// Clients, uids or groups of one request.
inline constexpr std::size_t kMaxGatewayNamed = 10'000;
// Of the JSON that one gateway worker answers, and of all that they answer together, about.
inline constexpr std::size_t kMaxGatewayAnswer = std::size_t{1} << 20;
inline constexpr std::size_t kMaxGatewayReply = std::size_t{8} << 20;
inline constexpr std::chrono::milliseconds kGatewayTimeout{5'000};
inline constexpr std::chrono::milliseconds kMaxGatewayTimeout{60'000};

enum class GatewayVerb {
  send,
  close,
  destroy,
  bind_uid,
  unbind_uid,
  join_group,
  leave_group,
  ungroup,
  set_session,
  // These only ask.
  session,
  clients,
  count,
  uids,
  groups
};

enum class GatewayScope { all, clients, uids, groups };

struct GatewayRequest {
  std::string gateway{};  // the name of the group
  GatewayVerb verb = GatewayVerb::count;
  GatewayScope scope = GatewayScope::all;
  std::vector<std::string> of{};            // by the scope: ids of clients, uids or groups
  std::vector<std::string> except{};        // ids of clients; of send
  std::string body{};                       // of send and set_session; of close, the reason
  bool binary = false;                      // of send: the message is one of bytes, and not a text
  std::uint16_t code = 1000;                // of close
  std::string name{};                       // of bind_uid, join_group, leave_group and ungroup
  std::optional<std::uint64_t> expected{};  // of set_session: only where it has this version
  bool sessions = false;                    // of clients
  std::chrono::milliseconds timeout = kGatewayTimeout;
  friend bool operator==(const GatewayRequest&, const GatewayRequest&) = default;
};

enum class GatewayProblem {
  no_client,  // none of these clients is connected
  conflict,   // the session has another version
  invalid,    // a name or session of a wrong size
  full,       // the client is in 256 groups
  too_large,  // the answer is over its bound
  not_sent    // a client's protocol cannot carry it, it is too long, or the client was too slow
};

struct GatewayClient {
  std::string client{};  // its id
  std::string uid{};     // empty: none
  std::uint64_t version = 0;
  std::optional<std::string> session{};  // where it was asked for
  friend bool operator==(const GatewayClient&, const GatewayClient&) = default;
};

// Put together from all workers of the gateway.
struct GatewayReply {
  bool partial = false;  // one of them is away, or did not answer in time
  std::optional<GatewayProblem> problem{};
  std::uint64_t count = 0;    // of the clients that it was done for, or that were asked about
  std::uint64_t failed = 0;   // of those for which it was not done, for `problem`
  std::uint64_t version = 0;  // of the session that was set
  std::vector<GatewayClient> clients{};          // of session and clients
  std::map<std::string, std::uint64_t> names{};  // of uids and groups, with their clients
  friend bool operator==(const GatewayReply&, const GatewayReply&) = default;
};

// Whether it only asks.
bool asks(GatewayVerb verb);
std::string_view to_word(GatewayVerb verb);
std::optional<GatewayVerb> gateway_verb(std::string_view word);
std::string_view to_word(GatewayProblem problem);
// For people, with the way out.
std::string_view to_words(GatewayProblem problem);

// Whether it has the form of a client's id.
bool is_client_id(std::string_view text);

// What of the request has a meaning for its verb.
boost::json::value to_json(const GatewayRequest& request);
boost::json::value to_json(const GatewayReply& reply);

// From a request's body; throws BadJson also for what does not fit the verb, such as an audience
// that is not named.
GatewayRequest parse_gateway(std::string_view body);
// Throws BadJson.
GatewayReply gateway_reply_from_json(const boost::json::value& json);

}  // namespace appserver::control
