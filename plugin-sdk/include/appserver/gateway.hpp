// The clients of a gateway, for the plugins of business groups.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <appserver/client_id.hpp>
#include <appserver/connection.hpp>
#include <appserver/detail/gateway_set.hpp>
#include <appserver/outcome.hpp>
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

// What business code keeps of a client at the gateway, while that is connected: at most 64 KiB.
struct ClientSession {
  std::string bytes;
  std::uint64_t version = 0;  // 0: never set. Each change gives another
};

// What several gateway workers have answered.
template <class T>
struct GatewayAnswer {
  T value{};
  bool partial = false;  // one of them is away, or did not answer in time: there may be more
};

// One client that is connected.
struct ClientRecord {
  ClientId client;
  std::string uid;                         // empty: none
  std::optional<ClientSession> session{};  // where it was asked for
};

// Whom something is about: all clients, some by id, those of uids, or those in groups; those of
// them that are connected, each once. Holds views of the names: for the call only.
class Audience {
 public:
  static Audience all() { return Audience(APPSERVER_SCOPE_ALL); }
  static Audience client(ClientId client) { return clients({client}); }
  static Audience clients(const std::vector<ClientId>& clients) {
    Audience audience(APPSERVER_SCOPE_CLIENTS);
    for (const ClientId client : clients) audience.clients_.push_back(client.raw());
    return audience;
  }
  static Audience uid(std::string_view uid) { return uids({uid}); }
  static Audience uids(const std::vector<std::string_view>& uids) {
    return named(APPSERVER_SCOPE_UIDS, uids);
  }
  static Audience group(std::string_view group) { return groups({group}); }
  static Audience groups(const std::vector<std::string_view>& groups) {
    return named(APPSERVER_SCOPE_GROUPS, groups);
  }

  // For the SDK.
  void put_into(appserver_gateway_command& command) const noexcept {
    command.scope = scope_;
    command.clients = clients_.data();
    command.client_count = static_cast<std::uint32_t>(clients_.size());
    command.names = names_.data();
    command.name_count = static_cast<std::uint32_t>(names_.size());
  }

 private:
  explicit Audience(std::uint32_t scope) : scope_(scope) {}
  static Audience named(std::uint32_t scope, const std::vector<std::string_view>& names) {
    Audience audience(scope);
    for (const std::string_view name : names) audience.names_.push_back(detail::str(name));
    return audience;
  }

  std::uint32_t scope_;
  std::vector<appserver_client_id> clients_;
  std::vector<appserver_str> names_;
};

// From Worker::gateway, in workers of a business group. [loop] only. What is about several clients
// goes to all workers of the gateway group.
//
// Functions without `done` do what they say without an answer: what becomes of it at the gateway is
// not told. They give false where no gateway worker is there that holds such clients. What is done
// in a hook reaches the gateway in its order, and before the hook's event counts as handled. What
// was sent to a client that cannot take it (it is gone, or too slow, and cut then) shows in its
// on_client_close.
//
// Those with `done` ask, or do something and tell how it went. `done` is called on the loop, once,
// never before the function returns; not any more once the worker ends, and an exception that
// leaves it is logged. It gets an Outcome of what the function says, or of GatewayError where the
// answer is over 32 MiB of a gateway worker (ask about fewer), or of GatewayUnreachable where it is
// about one client whose gateway worker is away, or has not answered in time.
//
// Both throw GatewayFull where 64 MiB wait for a gateway worker, or 65,536 answers are waited for;
// std::invalid_argument for a name that is empty or over 255 bytes, a session over 64 KiB, a
// message over 32 MiB, more than 65,536 clients or names, and from another thread; those that ask
// GatewayError where the group is no business group, or the worker ends. Nothing was done then.
//
// In a Task:
//
//   const auto online = co_await awaitable<GatewayAnswer<std::uint64_t>>(
//       [&](auto done) { gateway.count(Audience::group("room"), done); });
class Gateway {
 public:
  using milliseconds = std::chrono::milliseconds;

  Gateway(const appserver_host* host, appserver_worker* worker) noexcept : set_(host, worker) {}

  // For an answer, from now on; 5 s at first, at most an hour. Clocked in steps of 100 ms.
  void set_timeout(milliseconds timeout) noexcept { timeout_ = timeout; }

  // A text over WebSockets; send_binary any bytes. Taken over before this returns. What a client's
  // protocol cannot carry (a line break in a line, a text that is not UTF-8), or what is over
  // limits.max_message of the gateway, is dropped, and the gateway logs that.
  bool send(const Audience& to, std::string_view message,
            const std::vector<ClientId>& except = {}) {
    return send_as(APPSERVER_MESSAGE_TEXT, to, message, except);
  }
  bool send_binary(const Audience& to, std::string_view message,
                   const std::vector<ClientId>& except = {}) {
    return send_as(APPSERVER_MESSAGE_BINARY, to, message, except);
  }
  bool send_to_all(std::string_view message, const std::vector<ClientId>& except = {}) {
    return send(Audience::all(), message, except);
  }
  bool send_to_client(ClientId client, std::string_view message) {
    return send(Audience::client(client), message);
  }
  bool send_to_uid(std::string_view uid, std::string_view message) {
    return send(Audience::uid(uid), message);
  }
  // A client that is in it once gets it once.
  bool send_to_group(std::string_view group, std::string_view message,
                     const std::vector<ClientId>& except = {}) {
    return send(Audience::group(group), message, except);
  }

  // Behind what was sent to them; on_client_close follows. A WebSocket's peer is told why; where
  // code or reason may not be sent (see Connection::close), it stays open, and the gateway logs
  // that.
  bool close(const Audience& whom, std::uint16_t code = 1000, std::string_view reason = {}) {
    auto command = begin(APPSERVER_VERB_CLOSE, whom);
    command.code = code;
    command.body = detail::str(reason);
    return set_.tell(command);
  }
  bool close_client(ClientId client, std::uint16_t code = 1000, std::string_view reason = {}) {
    return close(Audience::client(client), code, reason);
  }
  // At once: what waits for it is lost. on_client_close follows.
  bool destroy_client(ClientId client) {
    return set_.tell(begin(APPSERVER_VERB_DESTROY, Audience::client(client)));
  }

  // A client has one uid: a new one takes the place of the old. A uid has any number of clients.
  // Of a client that is gone nothing becomes of this and the next ones.
  bool bind_uid(ClientId client, std::string_view uid) {
    return name_it(APPSERVER_VERB_BIND_UID, Audience::client(client), uid);
  }
  bool unbind_uid(ClientId client) {
    return set_.tell(begin(APPSERVER_VERB_UNBIND_UID, Audience::client(client)));
  }

  // At most 256 groups a client: it does not join more. It leaves them when it closes.
  bool join_group(ClientId client, std::string_view group) {
    return name_it(APPSERVER_VERB_JOIN_GROUP, Audience::client(client), group);
  }
  bool leave_group(ClientId client, std::string_view group) {
    return name_it(APPSERVER_VERB_LEAVE_GROUP, Audience::client(client), group);
  }
  // All leave it.
  bool ungroup(std::string_view group) {
    return name_it(APPSERVER_VERB_UNGROUP, Audience::all(), group);
  }

  // Whatever it was; others' changes are lost. Where that matters: compare_and_set_session.
  bool set_session(ClientId client, std::string_view session) {
    const Audience whom = Audience::client(client);
    auto command = begin(APPSERVER_VERB_SET_SESSION, whom);
    command.body = session_of(session);
    return set_.tell(command);
  }

  // Sets it if it still has this version; 0: it was never set. done(Outcome<std::optional<
  // std::uint64_t>>): the new version, or nullopt where it was changed since, or the client is
  // gone. After GatewayUnreachable it may have been set.
  template <class Done>
  void compare_and_set_session(ClientId client, std::uint64_t version, std::string_view session,
                               Done&& done) {
    const Audience whom = Audience::client(client);
    auto command = begin(APPSERVER_VERB_SET_SESSION, whom);
    command.body = session_of(session);
    command.has_expected = 1;
    command.expected = version;
    set_.ask(command, timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> std::optional<std::uint64_t> {
               if (result.status == APPSERVER_GATEWAY_CONFLICT ||
                   result.status == APPSERVER_GATEWAY_NO_CLIENT)
                 return std::nullopt;
               detail::check_gateway(result);
               if (result.partial != 0) throw GatewayUnreachable();
               return result.number;
             });
  }

  // done(Outcome<std::optional<ClientSession>>): nullopt where the client is gone.
  template <class Done>
  void get_session(ClientId client, Done&& done) {
    const Audience whom = Audience::client(client);
    set_.ask(begin(APPSERVER_VERB_SESSION, whom), timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> std::optional<ClientSession> {
               const auto answer = records(result);
               if (answer.value.empty() && answer.partial) throw GatewayUnreachable();
               if (answer.value.empty()) return std::nullopt;
               return answer.value.front().session;
             });
  }

  // done(Outcome<GatewayAnswer<std::uint64_t>>): how many of them are connected.
  template <class Done>
  void count(const Audience& of, Done&& done) {
    set_.ask(begin(APPSERVER_VERB_COUNT, of), timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> GatewayAnswer<std::uint64_t> {
               detail::check_gateway(result);
               return {result.number, result.partial != 0};
             });
  }
  template <class Done>
  void all_client_count(Done&& done) {
    count(Audience::all(), std::forward<Done>(done));
  }
  template <class Done>
  void client_count_by_group(std::string_view group, Done&& done) {
    count(Audience::group(group), std::forward<Done>(done));
  }

  // done(Outcome<GatewayAnswer<bool>>): false may be wrong where it is partial.
  template <class Done>
  void is_online(ClientId client, Done&& done) {
    ask_whether(Audience::client(client), std::forward<Done>(done));
  }
  template <class Done>
  void is_uid_online(std::string_view uid, Done&& done) {
    ask_whether(Audience::uid(uid), std::forward<Done>(done));
  }

  // done(Outcome<GatewayAnswer<std::vector<ClientRecord>>>): those of them that are connected, with
  // their uids.
  template <class Done>
  void clients(const Audience& of, Done&& done) {
    ask_records(of, false, std::forward<Done>(done));
  }
  // The same with their sessions.
  template <class Done>
  void client_sessions(const Audience& of, Done&& done) {
    ask_records(of, true, std::forward<Done>(done));
  }
  template <class Done>
  void client_ids_by_uid(std::string_view uid, Done&& done) {
    clients(Audience::uid(uid), std::forward<Done>(done));
  }
  template <class Done>
  void client_ids_by_group(std::string_view group, Done&& done) {
    clients(Audience::group(group), std::forward<Done>(done));
  }
  template <class Done>
  void all_client_ids(Done&& done) {
    clients(Audience::all(), std::forward<Done>(done));
  }

  // done(Outcome<std::optional<std::string>>): empty where it has none, nullopt where it is gone.
  template <class Done>
  void uid_by_client_id(ClientId client, Done&& done) {
    const Audience whom = Audience::client(client);
    set_.ask(begin(APPSERVER_VERB_CLIENTS, whom), timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> std::optional<std::string> {
               const auto answer = records(result);
               if (answer.value.empty() && answer.partial) throw GatewayUnreachable();
               if (answer.value.empty()) return std::nullopt;
               return answer.value.front().uid;
             });
  }

  // done(Outcome<GatewayAnswer<std::map<std::string, std::uint64_t>>>): each with the number of
  // clients. uids: those of these clients, each once; groups: those that these clients are in.
  template <class Done>
  void uids(const Audience& of, Done&& done) {
    ask_names(APPSERVER_VERB_UIDS, of, std::forward<Done>(done));
  }
  template <class Done>
  void groups(const Audience& of, Done&& done) {
    ask_names(APPSERVER_VERB_GROUPS, of, std::forward<Done>(done));
  }
  template <class Done>
  void all_uids(Done&& done) {
    uids(Audience::all(), std::forward<Done>(done));
  }
  template <class Done>
  void uids_by_group(std::string_view group, Done&& done) {
    uids(Audience::group(group), std::forward<Done>(done));
  }
  template <class Done>
  void all_groups(Done&& done) {
    groups(Audience::all(), std::forward<Done>(done));
  }

  // For the SDK.
  void close() noexcept { set_.clear(); }
  detail::GatewaySet& set() noexcept { return set_; }

 private:
  static appserver_gateway_command begin(std::uint32_t verb, const Audience& whom) noexcept {
    appserver_gateway_command command{};
    command.size = sizeof(command);
    command.verb = verb;
    whom.put_into(command);
    return command;
  }
  static appserver_str session_of(std::string_view session) {
    if (session.size() > APPSERVER_GATEWAY_SESSION_MAX)
      throw std::invalid_argument("a session has at most 64 KiB");
    return detail::str(session);
  }
  bool name_it(std::uint32_t verb, const Audience& whom, std::string_view name) {
    if (name.empty() || name.size() > APPSERVER_GATEWAY_NAME_MAX)
      throw std::invalid_argument("the name of a uid or group has 1 to 255 bytes");
    auto command = begin(verb, whom);
    command.name = detail::str(name);
    return set_.tell(command);
  }
  bool send_as(std::uint32_t kind, const Audience& to, std::string_view message,
               const std::vector<ClientId>& except) {
    std::vector<appserver_client_id> left_out;
    left_out.reserve(except.size());
    for (const ClientId client : except) left_out.push_back(client.raw());
    auto command = begin(APPSERVER_VERB_SEND, to);
    command.message_kind = kind;
    command.body = detail::str(message);
    command.except = left_out.data();
    command.except_count = static_cast<std::uint32_t>(left_out.size());
    return set_.tell(command);
  }

  static GatewayAnswer<std::vector<ClientRecord>> records(const appserver_gateway_result& result) {
    detail::check_gateway(result);
    GatewayAnswer<std::vector<ClientRecord>> answer;
    answer.partial = result.partial != 0;
    detail::for_each_record(result, [&](const appserver_client_record& raw) {
      ClientRecord& record = answer.value.emplace_back();
      record.client = ClientId(raw.client);
      record.uid = detail::view(raw.uid);
      record.session = ClientSession{std::string(detail::view(raw.session)), raw.session_version};
    });
    return answer;
  }

  template <class Done>
  void ask_records(const Audience& of, bool with_sessions, Done&& done) {
    auto command = begin(APPSERVER_VERB_CLIENTS, of);
    command.with_sessions = with_sessions ? 1 : 0;
    set_.ask(command, timeout_, std::forward<Done>(done),
             [with_sessions](const appserver_gateway_result& result) {
               auto answer = records(result);
               if (!with_sessions) {
                 for (ClientRecord& record : answer.value) record.session.reset();
               }
               return answer;
             });
  }

  template <class Done>
  void ask_whether(const Audience& of, Done&& done) {
    set_.ask(begin(APPSERVER_VERB_COUNT, of), timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> GatewayAnswer<bool> {
               detail::check_gateway(result);
               return {result.number > 0, result.partial != 0};
             });
  }

  template <class Done>
  void ask_names(std::uint32_t verb, const Audience& of, Done&& done) {
    using Names = std::map<std::string, std::uint64_t>;
    set_.ask(begin(verb, of), timeout_, std::forward<Done>(done),
             [](const appserver_gateway_result& result) -> GatewayAnswer<Names> {
               detail::check_gateway(result);
               GatewayAnswer<Names> answer;
               answer.partial = result.partial != 0;
               detail::for_each_name(result, [&](const appserver_named_count& raw) {
                 answer.value.emplace(detail::view(raw.name), raw.count);
               });
               return answer;
             });
  }

  detail::GatewaySet set_;
  milliseconds timeout_{5'000};
};

}  // namespace appserver
