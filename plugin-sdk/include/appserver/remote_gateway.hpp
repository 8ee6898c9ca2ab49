// The clients of a gateway, for programs that are no plugins: by the control socket of the daemon.
#pragma once

#include <algorithm>
#include <appserver/client_id.hpp>
#include <appserver/detail/base64.hpp>
#include <appserver/detail/control_call.hpp>
#include <appserver/detail/json_value.hpp>
#include <appserver/gateway.hpp>
#include <appserver/json.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver {

// No daemon answers on the socket (status 0), or it refuses: 400 a request that is wrong, 403 who
// may not do that, 404 no such gateway, 413 a message that is too long, 503 too much at once.
// what() says why, and the way out.
class RemoteGatewayError final : public GatewayError {
 public:
  RemoteGatewayError(unsigned status, const std::string& what)
      : GatewayError(what), status_(status) {}
  unsigned status() const noexcept { return status_; }

 private:
  unsigned status_;
};

// Says what Worker::gateway() says, with the same names, and waits for the answer: for programs
// beside the daemon, and for threads of their own; never on a plugin's loop. Each call is one
// connection to the socket; nothing is kept in between, so one object may be used by one thread
// after another, and each thread may have its own.
//
// Who runs as root or as the daemon's user may call all of it, users whom the gateway group names
// in `may_push` only what sends.
//
// What does something gives the number of clients that it was done for. `partial`: a worker of the
// gateway is away, or did not answer in time, and may do it later. Throws RemoteGatewayError;
// GatewayError where it was not done for a client that is there (its protocol cannot carry the
// message, it is over limits.max_message, it is in 256 groups), or where an answer is over 1 MiB of
// a gateway worker; GatewayUnreachable where it is about one client and partial;
// std::invalid_argument for what is no UTF-8 where a text or name is wanted.
//
// Bounds: a message has 1 MiB, a session 64 KiB, a name 255 bytes; 10,000 clients or names a call.
class RemoteGateway {
 public:
  using milliseconds = std::chrono::milliseconds;
  using Done = GatewayAnswer<std::uint64_t>;
  using Names = std::map<std::string, std::uint64_t>;

  // `socket`: the daemon's control socket; `gateway`: the name of the group.
  RemoteGateway(std::string socket, std::string gateway)
      : socket_(std::move(socket)), gateway_(std::move(gateway)) {}

  // For the gateway's workers, from 1 ms to 60 s; 5 s at first. The daemon itself has 5 s more.
  void set_timeout(milliseconds timeout) {
    if (timeout < milliseconds(1) || timeout > milliseconds(60'000))
      throw std::invalid_argument("a timeout is from 1 ms to 60 s");
    timeout_ = timeout;
  }

  Done send(const Audience& to, std::string_view message,
            const std::vector<ClientId>& except = {}) const {
    JsonText request = begin("send", to, except);
    return done(request.key("text").value(utf8(message)));
  }
  Done send_binary(const Audience& to, std::string_view message,
                   const std::vector<ClientId>& except = {}) const {
    JsonText request = begin("send", to, except);
    return done(request.key("base64").value(detail::to_base64(message)));
  }
  Done send_to_all(std::string_view message, const std::vector<ClientId>& except = {}) const {
    return send(Audience::all(), message, except);
  }
  Done send_to_client(ClientId client, std::string_view message) const {
    return send(Audience::client(client), message);
  }
  Done send_to_uid(std::string_view uid, std::string_view message) const {
    return send(Audience::uid(uid), message);
  }
  Done send_to_group(std::string_view group, std::string_view message,
                     const std::vector<ClientId>& except = {}) const {
    return send(Audience::group(group), message, except);
  }

  Done close(const Audience& whom, std::uint16_t code = 1000, std::string_view reason = {}) const {
    JsonText request = begin("close", whom);
    return done(request.key("code").value(code).key("text").value(utf8(reason)));
  }
  Done close_client(ClientId client, std::uint16_t code = 1000,
                    std::string_view reason = {}) const {
    return close(Audience::client(client), code, reason);
  }
  Done destroy_client(ClientId client) const { return plain("destroy", Audience::client(client)); }

  Done bind_uid(ClientId client, std::string_view uid) const {
    return named("bind_uid", Audience::client(client), uid);
  }
  Done unbind_uid(ClientId client) const { return plain("unbind_uid", Audience::client(client)); }
  Done join_group(ClientId client, std::string_view group) const {
    return named("join_group", Audience::client(client), group);
  }
  Done leave_group(ClientId client, std::string_view group) const {
    return named("leave_group", Audience::client(client), group);
  }
  Done ungroup(std::string_view group) const {
    JsonText request = begin("ungroup");
    return done(request.key("name").value(utf8(group)));
  }

  // False: the client is gone.
  bool set_session(ClientId client, std::string_view session) const {
    return store(client, session, std::nullopt).has_value();
  }
  // If it still has this version, 0 where it was never set. The new version, or nullopt where it
  // was changed since, or the client is gone.
  std::optional<std::uint64_t> compare_and_set_session(ClientId client, std::uint64_t version,
                                                       std::string_view session) const {
    return store(client, session, version);
  }
  // Nullopt: the client is gone.
  std::optional<ClientSession> get_session(ClientId client) const {
    const auto answer = records(begin("session", Audience::client(client)));
    if (answer.value.empty() && answer.partial) throw GatewayUnreachable();
    if (answer.value.empty()) return std::nullopt;
    return answer.value.front().session.value_or(ClientSession{});
  }

  // How many of them are connected.
  Done count(const Audience& of) const { return plain("count", of); }
  Done all_client_count() const { return count(Audience::all()); }
  Done client_count_by_group(std::string_view group) const { return count(Audience::group(group)); }
  GatewayAnswer<bool> is_online(ClientId client) const {
    const Done found = count(Audience::client(client));
    return {found.value > 0, found.partial};
  }
  GatewayAnswer<bool> is_uid_online(std::string_view uid) const {
    const Done found = count(Audience::uid(uid));
    return {found.value > 0, found.partial};
  }

  GatewayAnswer<std::vector<ClientRecord>> clients(const Audience& of) const {
    return records(begin("clients", of), false);
  }
  // The same with their sessions.
  GatewayAnswer<std::vector<ClientRecord>> client_sessions(const Audience& of) const {
    JsonText request = begin("clients", of);
    request.key("sessions").value(true);
    return records(std::move(request));
  }
  // Each with the number of its clients.
  GatewayAnswer<Names> uids(const Audience& of) const { return names("uids", of); }
  GatewayAnswer<Names> groups(const Audience& of) const { return names("groups", of); }

 private:
  static constexpr milliseconds kGrace{5'000};

  static std::string_view utf8(std::string_view text) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t length = detail::utf8_length(rest);
      if (length == 0) throw std::invalid_argument("the text or name is not UTF-8");
      rest.remove_prefix(length);
    }
    return text;
  }

  // The object stays open.
  JsonText begin(std::string_view verb) const {
    JsonText request;
    request.object().key("gateway").value(gateway_).key("verb").value(verb);
    request.key("timeout_ms").value(timeout_.count());
    return request;
  }
  JsonText begin(std::string_view verb, const Audience& whom,
                 const std::vector<ClientId>& except = {}) const {
    JsonText request = begin(verb);
    put_audience(request, whom);
    if (except.empty()) return request;
    request.key("except").array();
    for (const ClientId client : except) request.value(client.text());
    request.end();
    return request;
  }
  static void put_audience(JsonText& request, const Audience& whom) {
    appserver_gateway_command command{};
    whom.put_into(command);
    request.key("scope");
    if (command.scope == APPSERVER_SCOPE_ALL) {
      request.value("all");
      return;
    }
    const bool by_id = command.scope == APPSERVER_SCOPE_CLIENTS;
    request.value(by_id ? "clients" : command.scope == APPSERVER_SCOPE_GROUPS ? "groups" : "uids");
    request.key("of").array();
    for (std::uint32_t i = 0; i < command.client_count; ++i)
      request.value(ClientId(command.clients[i]).text());
    for (std::uint32_t i = 0; i < command.name_count; ++i)
      request.value(utf8(detail::view(command.names[i])));
    request.end();
  }

  detail::JsonValue ask(JsonText& request) const {
    const std::string body = request.end().take();
    detail::ControlAnswer answer;
    detail::JsonValue reply;
    try {
      answer = detail::ControlCall(socket_, timeout_ + kGrace).post("/v1/gateway", body);
      reply = detail::JsonParser::parse(answer.body);
    } catch (const std::runtime_error& error) {
      throw RemoteGatewayError(0, error.what());
    }
    if (answer.status / 100 != 2) {
      throw RemoteGatewayError(answer.status,
                               reply.at("error").text + "; " + reply.at("hint").text);
    }
    const std::string& problem = reply.at("error").text;
    if (problem.empty() || problem == "no_client" || problem == "conflict") return reply;
    if (problem == "too_large")
      throw GatewayError("the answer is too large: ask about fewer clients");
    if (problem == "full") throw GatewayError("a client is in 256 groups already");
    throw GatewayError("not done for " + std::to_string(reply.at("failed").number) +
                       " clients: " + problem + "; the log of appserverd says why");
  }

  Done done(JsonText& request) const {
    const detail::JsonValue reply = ask(request);
    return {reply.at("count").number, reply.at("partial").truth};
  }
  Done plain(std::string_view verb, const Audience& whom) const {
    JsonText request = begin(verb, whom);
    return done(request);
  }
  Done named(std::string_view verb, const Audience& whom, std::string_view name) const {
    JsonText request = begin(verb, whom);
    return done(request.key("name").value(utf8(name)));
  }

  std::optional<std::uint64_t> store(ClientId client, std::string_view session,
                                     std::optional<std::uint64_t> expected) const {
    JsonText request = begin("set_session", Audience::client(client));
    request.key("base64").value(detail::to_base64(session));
    if (expected) request.key("expected").value(*expected);
    const detail::JsonValue reply = ask(request);
    if (reply.at("count").number > 0) return reply.at("version").number;
    if (reply.at("partial").truth) throw GatewayUnreachable();
    return std::nullopt;
  }

  static ClientRecord record_of(const detail::JsonValue& each, bool with_session) {
    ClientRecord record;
    record.client = ClientId::from_text(each.at("client").text).value_or(ClientId());
    record.uid = each.at("uid").text;
    if (!with_session) return record;
    ClientSession session;
    session.version = each.at("version").number;
    session.bytes = each.at("session").text;
    const std::string& bytes = each.at("session_base64").text;
    if (!bytes.empty()) session.bytes = detail::from_base64(bytes).value_or("");
    record.session = std::move(session);
    return record;
  }
  GatewayAnswer<std::vector<ClientRecord>> records(JsonText request,
                                                   bool with_sessions = true) const {
    const detail::JsonValue reply = ask(request);
    GatewayAnswer<std::vector<ClientRecord>> answer;
    answer.partial = reply.at("partial").truth;
    for (const detail::JsonValue& each : reply.at("clients").items)
      answer.value.push_back(record_of(each, with_sessions));
    return answer;
  }
  GatewayAnswer<Names> names(std::string_view verb, const Audience& of) const {
    JsonText request = begin(verb, of);
    const detail::JsonValue reply = ask(request);
    GatewayAnswer<Names> answer;
    answer.partial = reply.at("partial").truth;
    for (const detail::JsonValue& each : reply.at("names").items)
      answer.value[each.at("name").text] += each.at("count").number;
    return answer;
  }

  std::string socket_;
  std::string gateway_;
  milliseconds timeout_{5'000};
};

}  // namespace appserver
