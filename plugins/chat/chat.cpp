// A chat behind a gateway: rooms, unique names, private messages, a history. Any worker answers any
// client, and none of them notices a reload.
//
//   appserverd --config config/chat.yaml, then open http://127.0.0.1:8080/ in two windows
//
// In a business group it serves the gateway's clients (wire.hpp has what they say), in a group of
// its own the page. What a worker must not lose is not in the worker: who a client is, is in its
// session at the gateway; who is in a room, in the gateway's groups; who has a name, in its uids;
// what was said, in a SQLite file. Its gateway has limits.max_message of 64 KiB or more.
//
//   settings, behind a gateway:
//     database: chat.db      the group's workers share it
//     history: 50            lines that somebody who comes gets to see, 1 to 200; about 256 KiB
//     keep: 1000             lines of a room; older ones are forgotten
//     keep_in_all: 100000    lines
//     keep_hours: 168        lines that are older are forgotten, too
//     max_text: 1000         bytes of a line, 1 to 4000
//     max_members: 500       of a room
//     lines_per_minute: 60   of one name; 0: any number
//     origin: ""             of a page elsewhere that may join, such as https://example.org
//   settings, for the page:
//     websocket: ":8081"     where browsers find the gateway: a port of the page's host, a path of
//                            it, or a whole address (wss://chat.example.org/)
#include <algorithm>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "page.hpp"
#include "store.hpp"
#include "wire.hpp"

namespace {

using appserver::Audience;
using appserver::awaitable;
using appserver::ClientId;
using appserver::EventHold;
using appserver::GatewayClient;
using appserver::Request;
using appserver::Response;
using appserver::Task;
using chat::Kept;
using chat::Line;
using chat::Member;
using chat::Present;
using chat::Refusal;
using chat::Wish;

using Refused = std::optional<Refusal>;

constexpr std::size_t kMaxMessage = std::size_t{16} << 10;
// In place of a member, in the session of a page that may not join.
constexpr std::string_view kUnwelcome = "unwelcome";

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_name(std::string_view name) {
  constexpr std::size_t kMaxName = 32;
  return name.size() <= kMaxName && name.find_first_not_of(' ') != std::string_view::npos &&
         name.front() != ' ' && name.back() != ' ';
}

// Long, so that nobody's is another's by chance.
bool is_id(std::string_view id) {
  constexpr std::string_view kLetters =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  return id.size() >= 16 && id.size() <= 64 &&
         id.find_first_not_of(kLetters) == std::string_view::npos;
}

// "a.example" of "http://a.example:8080", and of "a.example:8081".
std::string_view host_of(std::string_view address) {
  const std::size_t scheme = address.find("://");
  if (scheme != std::string_view::npos) address.remove_prefix(scheme + 3);
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || address.find(']', colon) != std::string_view::npos)
    return address;
  return address.substr(0, colon);
}

class Chat final : public appserver::Plugin {
 public:
  void self_check(appserver::Worker& worker) override {
    read(worker.settings());
    if (store_) store_->check();
  }

  void on_worker_start(appserver::Worker& worker) override {
    read(worker.settings());
    names_.emplace(worker);
    kept_ = worker.counter("chat_kept");
    // One thread: lines are kept in the order in which they came.
    worker.offload_limits({.threads = 1, .queue = 4096});
    worker.gateway().set_timeout(std::chrono::seconds(3));
    if (store_) store_->migrate();
    if (!websocket_.empty()) serve_page();
  }

  void on_request(Request& request, Response& response) override {
    response.header("X-Content-Type-Options", "nosniff")
        .header("Cache-Control", "no-cache")
        .header("Content-Security-Policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ws: wss:; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    router_.serve(request, response);
  }

  // Browsers let any page connect to anywhere. Programs send no Origin.
  void on_client_websocket_open(GatewayClient& client, const Request& request) override {
    const auto origin = request.header("Origin");
    if (!origin || *origin == origin_ || host_of(*origin) == host_of(request.header("Host", "")))
      return;
    client.set_session(kUnwelcome);
    client.close(4003, "this page may not join");
  }

  void on_client_message(GatewayClient& client, appserver::Message message) override {
    if (client.session() == kUnwelcome) return;
    std::optional<Wish> wish;
    if (message.is_text() && message.size() <= kMaxMessage)
      wish = chat::parse_wish({message.data(), message.size()});
    if (!wish || !store_)
      return refuse(client.id(), {}, {wish ? "nothing is kept here" : "no message of a chat"});
    const std::optional<Member> member = member_of(client);
    if (wish->what == "join") {
      join(client, member, *wish);
    } else if (!member) {
      refuse(client.id(), *wish, {"join a room first"});
    } else if (wish->what == "say" || wish->what == "tell") {
      speak(client, *member, *wish);
    } else if (wish->what == "who") {
      begin(client, *wish, who(client.id(), member->room));
    } else {
      refuse(client.id(), *wish, {"nothing of this kind can be done"});
    }
  }

  void on_client_close(GatewayClient& client, appserver::Close) override {
    if (const auto member = member_of(client))
      client.gateway().send_to_group(member->room, chat::moved("left", *member));
  }

 private:
  void read(const appserver::Settings& settings) {
    history_ = bounded(settings, "history", 50, 1, 200);
    max_text_ = static_cast<std::size_t>(bounded(settings, "max_text", 1000, 1, 4000));
    max_members_ = static_cast<std::size_t>(bounded(settings, "max_members", 500, 1, 5000));
    origin_ = settings.get("origin", "");
    websocket_ = settings.get("websocket", "");
    if (!websocket_.empty() && !chat::is_address(websocket_))
      throw std::invalid_argument("setting \"websocket\" is \"" + websocket_ +
                                  "\", expected \":PORT\", a path, or ws:// or wss://HOST");
    const std::string database = settings.get("database", "");
    if (database.empty() && websocket_.empty())
      throw std::invalid_argument(
          "a setting is missing: `database`, behind a gateway, or `websocket`, for the page");
    constexpr std::int64_t kMost = 10'000'000;
    constexpr std::int64_t kHour = 3'600'000;
    const chat::Bounds bounds{bounded(settings, "keep", 1000, history_, kMost),
                              bounded(settings, "keep_in_all", 100'000, history_, kMost),
                              bounded(settings, "keep_hours", 168, 1, 100'000) * kHour,
                              bounded(settings, "lines_per_minute", 60, 0, 100'000)};
    if (!database.empty()) store_ = std::make_unique<chat::Store>(database, bounds);
  }

  static std::int64_t bounded(const appserver::Settings& settings, const char* path,
                              std::int64_t usual, std::int64_t least, std::int64_t most) {
    const std::int64_t value = settings.get(path, usual);
    if (value >= least && value <= most) return value;
    throw std::invalid_argument("setting \"" + std::string(path) + "\" is " +
                                std::to_string(value) + ", expected " + std::to_string(least) +
                                " to " + std::to_string(most));
  }

  void serve_page() {
    const auto serve = [this](const char* path, std::string text, const char* type) {
      router_.get(path, [text = std::move(text), type](Request&, Response& response) {
        response.body(text, type);
      });
    };
    serve("/", chat::page(websocket_), "text/html; charset=utf-8");
    serve("/chat.css", chat::kStyle, "text/css; charset=utf-8");
    serve("/chat.js", chat::kScript, "text/javascript; charset=utf-8");
  }

  // One without its uid has not got its name yet.
  static std::optional<Member> member_of(const GatewayClient& client) {
    auto member = chat::from_session(client.session());
    if (member && client.uid() != chat::folded(member->name)) member.reset();
    return member;
  }

  void refuse(ClientId client, const Wish& wish, const Refusal& refusal) {
    worker().gateway().send_to_client(client, chat::no(wish, refusal.why, refusal.again));
  }

  // The event counts as handled when the task has ended: if this worker ends before, another one
  // does all of it again, and each step may be done twice.
  void begin(GatewayClient& client, const Wish& wish, Task<Refused> task) {
    worker().spawn(finish(client.id(), wish, client.hold(), std::move(task)));
  }

  Task<void> finish(ClientId client, Wish wish, EventHold hold, Task<Refused> task) {
    Refused refused;
    try {
      refused = co_await std::move(task);
    } catch (const std::exception& error) {
      worker().error(wish.what + ": " + error.what());
      refused = Refusal{"this cannot be done now", true};
    }
    if (refused) refuse(client, wish, *refused);
    hold.acknowledge();
  }

  void join(GatewayClient& client, const std::optional<Member>& before, const Wish& wish) {
    constexpr std::size_t kMaxKey = 64;
    if (!is_name(wish.name) || !is_name(wish.room) || wish.key.size() > kMaxKey)
      return refuse(client.id(), wish, {"a name and a room have 1 to 32 bytes"});
    if (before && before->name != wish.name)
      return refuse(client.id(), wish, {"you have a name already: connect again for another"});
    begin(client, wish, enter(client.id(), client.session_version(), before, wish));
  }

  Task<Refused> enter(ClientId client, std::uint64_t version, std::optional<Member> before,
                      Wish wish) {
    using Count = appserver::GatewayAnswer<std::uint64_t>;
    appserver::Gateway& gateway = worker().gateway();
    const Member member{wish.name, wish.room, before ? before->key : wish.key};
    const bool stays = before && before->room == member.room;
    const Count count = co_await awaitable<Count>(
        [&](auto done) { gateway.client_count_by_group(member.room, done); });
    if (!stays && count.value >= max_members_) co_return Refusal{"this room is full", true};
    chat::Claim claim;
    if (!before) {
      Refused refused = co_await names_->take(client, wish, claim);
      if (refused) co_return refused;
      if (!claim.holds()) co_return Refusal{"this took too long", true};
    }
    const bool set = co_await set_session(client, version, member);
    if (!set) co_return Refusal{"you are joining already", true};
    gateway.bind_uid(client, chat::folded(member.name));
    if (before && !stays) {
      gateway.leave_group(client, before->room);
      gateway.send_to_group(before->room, chat::moved("left", *before));
    }
    gateway.join_group(client, member.room);
    // Its answer says that all this is done: what is said from here on reaches the client, and what
    // was said before is in the history.
    const Present present = co_await present_in(member.room);
    if (!before) names_->release(claim);
    if (!stays && !claim.came_back)
      gateway.send_to_group(member.room, chat::moved("came", member), {client});
    co_await show(client, member, present);
    co_return std::nullopt;
  }

  // False: it has changed since, or the client is gone.
  Task<bool> set_session(ClientId client, std::uint64_t version, const Member& member) {
    using Version = std::optional<std::uint64_t>;
    const std::string session = chat::to_session(member);
    const Version set = co_await awaitable<Version>([&](auto done) {
      worker().gateway().compare_and_set_session(client, version, session, done);
    });
    co_return set.has_value();
  }

  Task<void> show(ClientId client, const Member& member, const Present& present) {
    appserver::Gateway& gateway = worker().gateway();
    std::optional<std::vector<Line>> lines;
    try {
      const auto read = [&] { return store_->last(member.room, history_, now()); };
      lines = co_await worker().offload(read);
    } catch (const std::exception& error) {
      worker().error("history: " + std::string(error.what()));
    }
    gateway.send_to_client(client, chat::welcome(member, present, lines.has_value()));
    if (!lines) co_return;
    for (const std::string& each : newest(*lines)) gateway.send_to_client(client, each);
  }

  // As many as a client may be sent at once: one for whom more waits than limits.send_buffer of the
  // gateway is cut.
  static std::vector<std::string> newest(const std::vector<Line>& lines) {
    constexpr std::size_t kMost = std::size_t{256} << 10;
    std::vector<std::string> said;
    std::size_t size = 0;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
      said.push_back(chat::said(*line));
      size += said.back().size();
      if (size > kMost) break;
    }
    std::ranges::reverse(said);
    return said;
  }

  Task<Present> present_in(const std::string& room) {
    constexpr std::size_t kMostNames = 200;
    using Clients = appserver::GatewayAnswer<std::vector<appserver::ClientRecord>>;
    const Clients clients = co_await awaitable<Clients>(
        [&](auto done) { worker().gateway().client_sessions(Audience::group(room), done); });
    Present present;
    for (const appserver::ClientRecord& each : clients.value) {
      if (auto member = chat::from_session(each.session->bytes))
        present.names.push_back(std::move(member->name));
    }
    std::ranges::sort(present.names);
    present.count = present.names.size();
    if (present.count > kMostNames) present.names.resize(kMostNames);
    co_return present;
  }

  Task<Refused> who(ClientId client, std::string room) {
    const Present present = co_await present_in(room);
    worker().gateway().send_to_client(client, chat::who(room, present));
    co_return std::nullopt;
  }

  void speak(GatewayClient& client, const Member& member, const Wish& wish) {
    if (!is_id(wish.id))
      return refuse(client.id(), wish, {"an id has 16 to 64 letters, digits, - and _"});
    if (wish.text.empty() || wish.text.size() > max_text_)
      return refuse(client.id(), wish, {"a text has 1 to " + std::to_string(max_text_) + " bytes"});
    if (wish.what == "say")
      return begin(client, wish, say(client.id(), member, wish, client.redelivered()));
    if (!is_name(wish.to)) return refuse(client.id(), wish, {"this is nobody's name"});
    begin(client, wish, tell(client.id(), member, wish));
  }

  Task<Refused> say(ClientId client, Member member, Wish wish, bool redelivered) {
    appserver::Gateway& gateway = worker().gateway();
    Line line{0, now(), member.room, wish.id, member.name, wish.text};
    const auto keep = [&] { return store_->keep(line); };
    const Kept kept = co_await worker().offload(keep);
    if (kept == Kept::too_fast) co_return Refusal{"not so fast", true};
    if (kept == Kept::added) kept_.add();
    // A worker that has ended may have kept it, and have told nobody.
    if (kept == Kept::added || redelivered) gateway.send_to_group(member.room, chat::said(line));
    gateway.send_to_client(client, chat::kept(wish.id));
    co_return std::nullopt;
  }

  // What is private is in no history: a name may be somebody else's tomorrow. Only that there was
  // something is kept.
  Task<Refused> tell(ClientId client, Member member, Wish wish) {
    using Online = appserver::GatewayAnswer<bool>;
    appserver::Gateway& gateway = worker().gateway();
    const std::string uid = chat::folded(wish.to);
    const Online online =
        co_await awaitable<Online>([&](auto done) { gateway.is_uid_online(uid, done); });
    if (!online.value) co_return Refusal{wish.to + " is not here", online.partial};
    Line line{0, now(), {}, wish.id, member.name, {}};
    const auto keep = [&] { return store_->keep(line); };
    const Kept kept = co_await worker().offload(keep);
    if (kept == Kept::too_fast) co_return Refusal{"not so fast", true};
    line.text = wish.text;
    const std::string told = chat::told(line, wish.to);
    gateway.send_to_uid(uid, told);
    if (uid != chat::folded(member.name)) gateway.send_to_client(client, told);
    gateway.send_to_client(client, chat::kept(wish.id));
    co_return std::nullopt;
  }

  appserver::Router router_;
  std::optional<chat::Names> names_;
  std::unique_ptr<chat::Store> store_;  // null: for the page only
  appserver::Counter kept_;
  std::int64_t history_ = 50;
  std::size_t max_text_ = 1000;
  std::size_t max_members_ = 500;
  std::string origin_;
  std::string websocket_;
};

}  // namespace

APPSERVER_PLUGIN(Chat, "chat", "1.0.0")
