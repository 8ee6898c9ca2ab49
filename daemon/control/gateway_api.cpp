#include "control/gateway_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/base64.hpp"
#include "control/json_reader.hpp"
#include "control/json_writer.hpp"
#include "control/words.hpp"

namespace appserver::control {

namespace json = boost::json;

namespace {

enum class Whom { named, all_unless_named, one_client, nobody };

struct VerbRule {
  GatewayVerb verb;
  std::string_view word;
  Whom whom;
  std::string_view needs;  // keys of its own, each between spaces; "body": text or base64
  std::string_view takes;
};

constexpr std::array<VerbRule, 14> kVerbs{{
    {GatewayVerb::send, "send", Whom::named, " body ", " except "},
    {GatewayVerb::close, "close", Whom::named, "", " body code "},
    {GatewayVerb::destroy, "destroy", Whom::named, "", ""},
    {GatewayVerb::bind_uid, "bind_uid", Whom::named, " name ", ""},
    {GatewayVerb::unbind_uid, "unbind_uid", Whom::named, "", ""},
    {GatewayVerb::join_group, "join_group", Whom::named, " name ", ""},
    {GatewayVerb::leave_group, "leave_group", Whom::named, " name ", ""},
    {GatewayVerb::ungroup, "ungroup", Whom::nobody, " name ", ""},
    {GatewayVerb::set_session, "set_session", Whom::one_client, " body ", " expected "},
    {GatewayVerb::session, "session", Whom::named, "", ""},
    {GatewayVerb::clients, "clients", Whom::all_unless_named, "", " sessions "},
    {GatewayVerb::count, "count", Whom::all_unless_named, "", ""},
    {GatewayVerb::uids, "uids", Whom::all_unless_named, "", ""},
    {GatewayVerb::groups, "groups", Whom::all_unless_named, "", ""},
}};

constexpr Words<GatewayScope, 4> kScopes{{{GatewayScope::all, "all"},
                                          {GatewayScope::clients, "clients"},
                                          {GatewayScope::uids, "uids"},
                                          {GatewayScope::groups, "groups"}}};

constexpr Words<GatewayProblem, 6> kProblems{{{GatewayProblem::no_client, "no_client"},
                                              {GatewayProblem::conflict, "conflict"},
                                              {GatewayProblem::invalid, "invalid"},
                                              {GatewayProblem::full, "full"},
                                              {GatewayProblem::too_large, "too_large"},
                                              {GatewayProblem::not_sent, "not_sent"}}};

constexpr std::size_t kMaxReason = 123;  // of a WebSocket's close frame

const VerbRule& rule_of(GatewayVerb verb) {
  return *std::find_if(kVerbs.begin(), kVerbs.end(),
                       [&](const VerbRule& each) { return each.verb == verb; });
}

bool holds(std::string_view words, std::string_view word) {
  return words.find(fmt::format(" {} ", word)) != std::string_view::npos;
}

bool is_text(std::string_view bytes) { return clean(bytes) == bytes; }

const VerbRule& read_verb(const JsonReader& in) {
  const std::string word = in.text("verb");
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const VerbRule& each) { return each.word == word; });
  if (found != kVerbs.end()) return *found;
  std::string known;
  for (const VerbRule& each : kVerbs)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", each.word);
  in.fail("verb", fmt::format("unknown word \"{}\"; known: {}", word, known));
}

// A key that the verb has no use for is a mistake, as an unknown one is.
void check_keys(const JsonReader& in, const VerbRule& rule) {
  in.allow_only({"gateway", "verb", "scope", "of", "except", "text", "base64", "code", "name",
                 "expected", "sessions", "timeout_ms"});
  for (const std::string_view key :
       {"except", "text", "base64", "code", "name", "expected", "sessions"}) {
    const std::string_view what = key == "text" || key == "base64" ? "body" : key;
    if (in.has(key) && !holds(rule.needs, what) && !holds(rule.takes, what))
      in.fail(key, fmt::format("{} does not take it", rule.word));
  }
  if (holds(rule.needs, "body") && !in.has("text") && !in.has("base64"))
    in.fail("text", fmt::format("missing; {} needs it, or base64 for bytes", rule.word));
  if (in.has("text") && in.has("base64")) in.fail("base64", "there is a text as well; keep one");
  if (in.has("base64") && rule.verb == GatewayVerb::close) in.fail("base64", "a reason is a text");
}

std::string read_name(const JsonReader& in, std::string_view key, std::string name) {
  if (name.empty() || name.size() > kMaxGatewayName)
    in.fail(key, fmt::format("the name of a uid or group has 1 to {} bytes", kMaxGatewayName));
  return name;
}

void check_ids(const JsonReader& in, std::string_view key, const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    if (is_client_id(id)) continue;
    in.fail(key, fmt::format("\"{}\" is no id of a client; `appserverctl gateway clients` shows "
                             "them",
                             clean(id.substr(0, 40))));
  }
}

std::vector<std::string> read_list(const JsonReader& in, std::string_view key) {
  std::vector<std::string> list = in.texts(key);
  if (list.size() > kMaxGatewayNamed)
    in.fail(key, fmt::format("more than {}; split them up", kMaxGatewayNamed));
  return list;
}

void read_whom(const JsonReader& in, const VerbRule& rule, GatewayRequest& request) {
  if (rule.whom == Whom::nobody) {
    for (const std::string_view key : {"scope", "of"}) {
      if (in.has(key))
        in.fail(key, fmt::format("{} is about a group, whoever is in it", rule.word));
    }
    return;
  }
  if (!in.has("scope")) {
    if (in.has("of")) in.fail("scope", "missing; what is `of`: clients, uids or groups?");
    if (rule.whom == Whom::all_unless_named) return;
    in.fail("scope", "missing; say whom it is about: all, or clients, uids or groups with `of`");
  }
  request.scope = in.word("scope", kScopes);
  if (request.scope == GatewayScope::all) {
    if (in.has("of")) in.fail("of", "it does not go with the scope all");
  } else {
    request.of = read_list(in, "of");
    if (request.of.empty()) in.fail("of", "empty; name at least one");
  }
  if (request.scope == GatewayScope::clients) {
    check_ids(in, "of", request.of);
  } else {
    for (const std::string& name : request.of) read_name(in, "of", name);
  }
  const bool is_one = request.scope == GatewayScope::clients && request.of.size() == 1;
  if (rule.whom == Whom::one_client && !is_one)
    in.fail("scope", fmt::format("{} is about one client, by its id", rule.word));
}

void read_body(const JsonReader& in, GatewayRequest& request) {
  const std::string_view key = in.has("base64") ? "base64" : "text";
  if (!in.has(key)) return;
  request.body = in.text(key);
  if (key == "base64") {
    auto bytes = from_base64(request.body);
    if (!bytes) in.fail(key, "not base64 with its padding");
    request.body = std::move(*bytes);
    request.binary = true;
  } else if (!is_text(request.body)) {
    in.fail(key, "not UTF-8; bytes go as base64");
  }
  const std::size_t most = request.verb == GatewayVerb::send          ? kMaxGatewayMessage
                           : request.verb == GatewayVerb::set_session ? kMaxGatewaySession
                                                                      : kMaxReason;
  if (request.body.size() > most) in.fail(key, fmt::format("over {} bytes", most));
  if (request.verb != GatewayVerb::send) request.binary = false;
}

void read_code(const JsonReader& in, GatewayRequest& request) {
  if (!in.has("code")) return;
  const std::uint64_t code = in.count("code");
  // As RFC 6455 §7.4 has them.
  const bool is_reserved = code == 1004 || code == 1005 || code == 1006;
  if ((code >= 1000 && code <= 1014 && !is_reserved) || (code >= 3000 && code <= 4999)) {
    request.code = static_cast<std::uint16_t>(code);
    return;
  }
  in.fail("code",
          "not a code that a WebSocket may be closed with; 1000, or 4000 to 4999 for your own");
}

void read_timeout(const JsonReader& in, GatewayRequest& request) {
  if (!in.has("timeout_ms")) return;
  const std::uint64_t timeout = in.count("timeout_ms");
  if (timeout < 1 || timeout > static_cast<std::uint64_t>(kMaxGatewayTimeout.count()))
    in.fail("timeout_ms", fmt::format("expected 1 to {}", kMaxGatewayTimeout.count()));
  request.timeout = std::chrono::milliseconds(timeout);
}

json::array strings(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

json::object to_object(const GatewayClient& client) {
  const bool shown = client.session && is_text(*client.session);
  return {{"client", client.client},
          {"uid", client.uid.empty() ? json::value(nullptr) : json::value(clean(client.uid))},
          {"version", client.version},
          {"session", shown ? json::value(*client.session) : json::value(nullptr)},
          {"session_base64", client.session && !shown ? json::value(to_base64(*client.session))
                                                      : json::value(nullptr)}};
}

GatewayClient read_client(const JsonReader& in) {
  GatewayClient client;
  client.client = in.text("client");
  if (in.has("uid")) client.uid = in.text("uid");
  client.version = in.count("version");
  if (in.has("session")) client.session = in.text("session");
  if (in.has("session_base64")) {
    client.session = from_base64(in.text("session_base64"));
    if (!client.session) in.fail("session_base64", "not base64");
  }
  return client;
}

}  // namespace

bool asks(GatewayVerb verb) { return verb >= GatewayVerb::session; }

std::string_view to_word(GatewayVerb verb) { return rule_of(verb).word; }

std::optional<GatewayVerb> gateway_verb(std::string_view word) {
  for (const VerbRule& each : kVerbs) {
    if (each.word == word) return each.verb;
  }
  return std::nullopt;
}

std::string_view to_word(GatewayProblem problem) { return word_of(kProblems, problem); }

std::string_view to_words(GatewayProblem problem) {
  switch (problem) {
    case GatewayProblem::no_client:
      return "no such client is connected; `appserverctl gateway clients` shows those that are";
    case GatewayProblem::conflict:
      return "the session has another version by now; read it again with `appserverctl gateway "
             "session`";
    case GatewayProblem::invalid:
      return "a name or session of a wrong size";
    case GatewayProblem::full:
      return "a client is in 256 groups already; let it leave one first";
    case GatewayProblem::too_large:
      return "the answer is too large; ask about fewer clients: by uid, by group, or without "
             "sessions";
    case GatewayProblem::not_sent:
      return "a client's protocol cannot carry it, it is over limits.max_message, or the client "
             "does not take what is sent to it; the log says which";
  }
  return "";
}

bool is_client_id(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  if (text.size() != 2 * kDigits + 1 || text[kDigits] != '-') return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (i != kDigits && !is_digit) return false;
  }
  return true;
}

json::value to_json(const GatewayRequest& request) {
  const VerbRule& rule = rule_of(request.verb);
  json::object object{
      {"gateway", request.gateway}, {"verb", rule.word}, {"timeout_ms", request.timeout.count()}};
  if (rule.whom != Whom::nobody) {
    object["scope"] = word_of(kScopes, request.scope);
    if (request.scope != GatewayScope::all) object["of"] = strings(request.of);
  }
  const bool has_body = holds(rule.needs, "body") || !request.body.empty();
  if (has_body && (request.binary || !is_text(request.body))) {
    object["base64"] = to_base64(request.body);
  } else if (has_body) {
    object["text"] = request.body;
  }
  if (holds(rule.needs, "name")) object["name"] = request.name;
  if (holds(rule.takes, "except") && !request.except.empty())
    object["except"] = strings(request.except);
  if (holds(rule.takes, "code")) object["code"] = request.code;
  if (request.expected) object["expected"] = *request.expected;
  if (request.sessions) object["sessions"] = true;
  return object;
}

json::value to_json(const GatewayReply& reply) {
  json::array clients;
  for (const GatewayClient& each : reply.clients) clients.push_back(to_object(each));
  json::array names;
  for (const auto& [name, count] : reply.names)
    names.push_back(json::object{{"name", clean(name)}, {"count", count}});
  return json::object{
      {"partial", reply.partial},
      {"error", reply.problem ? json::value(to_word(*reply.problem)) : json::value(nullptr)},
      {"count", reply.count},
      {"failed", reply.failed},
      {"version", reply.version},
      {"clients", std::move(clients)},
      {"names", std::move(names)}};
}

GatewayRequest parse_gateway(std::string_view body) {
  const json::value value = body.empty() ? json::value(json::object()) : parse_json(body);
  const JsonReader in(value, "");
  const VerbRule& rule = read_verb(in);
  check_keys(in, rule);
  GatewayRequest request;
  request.verb = rule.verb;
  request.gateway = in.text("gateway");
  if (request.gateway.empty()) in.fail("gateway", "empty; name the gateway group");
  read_whom(in, rule, request);
  read_body(in, request);
  read_code(in, request);
  read_timeout(in, request);
  if (holds(rule.needs, "name")) request.name = read_name(in, "name", in.text("name"));
  if (in.has("except")) request.except = read_list(in, "except");
  check_ids(in, "except", request.except);
  if (in.has("expected")) request.expected = in.count("expected");
  request.sessions = in.has("sessions") && in.flag("sessions");
  return request;
}

GatewayReply gateway_reply_from_json(const json::value& value) {
  const JsonReader in(value, "");
  GatewayReply reply;
  reply.partial = in.flag("partial");
  if (in.has("error")) reply.problem = in.word("error", kProblems);
  reply.count = in.count("count");
  reply.failed = in.count("failed");
  reply.version = in.count("version");
  for (const json::value& each : in.array("clients"))
    reply.clients.push_back(read_client(JsonReader(each, in.place_of("clients"))));
  for (const json::value& each : in.array("names")) {
    const JsonReader name(each, in.place_of("names"));
    reply.names[name.text("name")] += name.count("count");
  }
  return reply;
}

}  // namespace appserver::control
