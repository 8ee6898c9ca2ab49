// A chat in the browser: rooms, names, what was said last. Nobody notices a reload.
//
//   appserverd --config config/chat-room.yaml, then open http://127.0.0.1:8080/ in two windows
//
//   GET /                         the page
//   GET /chat?room=ROOM&name=NAME a WebSocket: each text that comes is said in the room; each that
//                                 goes is JSON: {kind: said|came|left|note, name, text, time}
//   settings:
//     history: 50            lines that somebody who comes gets to see, and that travel in a
//                            reload; 10 to 1000
//     max_line: 1000         bytes of a line, at most 4000
//     max_rooms: 1000        that are remembered; one with nobody in it makes room for another
//     lines_per_minute: 120  of one member; 0: any number
//
// The group has `count: 1`: rooms are in the memory of one worker, and nothing of them goes over
// the bus. With more workers each has rooms of its own, and those in a room hear only whom the same
// worker serves; all but the first warn of that.
//
// In a reload members move to the successor one by one, so for a while some are here and some are
// there. Each brings along what it was told and what was said last: so lines from either side reach
// those on the other when they meet again, each once.
#include <algorithm>
#include <appserver/json.hpp>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "page.hpp"
#include "room.hpp"

namespace {

using appserver::Connection;
using chat::Kind;
using chat::Line;
using chat::Room;

constexpr std::size_t kMaxName = 32;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string to_json(const Line& line) {
  constexpr const char* kKinds[] = {"said", "came", "left"};
  appserver::JsonText json;
  json.object().key("kind").value(kKinds[static_cast<std::size_t>(line.kind)]);
  json.key("name").value(line.name).key("text").value(line.text);
  return json.key("time").value(line.time).end().take();
}

std::string note(std::string_view text) {
  appserver::JsonText json;
  return json.object().key("kind").value("note").key("text").value(text).end().take();
}

// A page of another site must not talk in a visitor's name. Programs send no Origin.
bool is_same_origin(const appserver::Request& request) {
  const auto origin = request.header("Origin");
  if (!origin) return true;
  const std::size_t scheme = origin->find("://");
  return scheme != std::string_view::npos && origin->substr(scheme + 3) == request.header("Host");
}

struct Member {
  std::string room;
  std::string name;
  std::int64_t minute = 0;  // since 1970
  unsigned said = 0;        // in it
};

class ChatRoom final : public appserver::Plugin {
 public:
  void self_check(appserver::Worker& worker) override { read(worker.settings()); }

  void on_worker_start(appserver::Worker& worker) override {
    read(worker.settings());
    if (worker.slot() > 0)
      worker.warn("this worker has rooms of its own, apart from the others': set `count: 1`");
    from_ = std::to_string(worker.slot()) + "." + std::to_string(worker.generation()) + "." +
            std::to_string(now());
    members_ = worker.gauge("chat_members");
    const auto serve = [this](const char* path, const char* text, const char* type) {
      router_.get(path, [text, type](appserver::Request&, appserver::Response& response) {
        response.body(text, type)
            .header("Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; "
                    "connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'")
            .header("X-Content-Type-Options", "nosniff")
            .header("Cache-Control", "no-cache");
      });
    };
    serve("/", chat::kPage, "text/html; charset=utf-8");
    serve("/chat.css", chat::kStyle, "text/css; charset=utf-8");
    serve("/chat.js", chat::kScript, "text/javascript; charset=utf-8");
  }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    router_.serve(request, response);
  }

  void on_websocket_open(Connection connection, const appserver::Request& request,
                         appserver::Upgrade& upgrade) override {
    if (request.path() != "/chat") return upgrade.refuse(404, "the chat is at /chat");
    if (!is_same_origin(request)) return upgrade.refuse(403, "this page may not join");
    Member member{chat::without_controls(request.query("room", "lobby")),
                  chat::without_controls(request.query("name", ""))};
    for (const std::string* each : {&member.room, &member.name}) {
      if (each->empty() || each->size() > kMaxName || !is_text(*each))
        return upgrade.refuse(400, "a room and a name have 1 to 32 bytes of text");
    }
    Room* const room = room_of(member.room);
    if (room == nullptr) return upgrade.refuse(503, "there are too many rooms");
    connection.emplace<Member>(member);
    for (const Line& line : room->lines()) connection.send(to_json(line));
    enter(*room, connection);
    publish(member, Kind::came);
  }

  void on_message(Connection connection, appserver::Message message) override {
    Member& member = *connection.get<Member>();
    if (!message.is_text() || message.size() > max_line_) {
      connection.send(note("a line is a text of at most " + std::to_string(max_line_) + " bytes"));
    } else if (!may_say_more(member)) {
      connection.send(note("not so fast: this line was not said"));
    } else {
      publish(member, Kind::said, chat::without_controls({message.data(), message.size()}));
    }
  }

  void on_close(Connection connection, appserver::Close) override {
    const Member member = *connection.get<Member>();
    leave(connection, member);
    publish(member, Kind::left);
  }

  void on_handover(Connection connection, std::string& state) override {
    const Member& member = *connection.get<Member>();
    state = chat::pack(member.room, member.name, rooms_.at(member.room));
    leave(connection, member);
  }

  void on_adopt(Connection connection, std::string_view state) override {
    const chat::Luggage luggage = chat::unpack(state);
    Room* const room = room_of(luggage.room);
    if (room == nullptr) throw std::runtime_error("there are too many rooms");
    const bool first = room->members.empty();
    for (const Line& line : luggage.lines) {
      if (first) {
        room->add_older(line, history_);
      } else if (room->add(line, history_)) {
        tell(*room, line);
      }
    }
    connection.emplace<Member>(Member{luggage.room, luggage.name});
    for (const Line& line : room->lines()) {
      if (!chat::knows(luggage.told, line)) tell(connection, line);
    }
    enter(*room, connection);
  }

 private:
  void read(const appserver::Settings& settings) {
    history_ = bounded(settings, "history", 50, 10, 1000);
    max_line_ = bounded(settings, "max_line", 1000, 1, 4000);
    max_rooms_ = bounded(settings, "max_rooms", 1000, 1, 1'000'000);
    lines_per_minute_ = settings.get("lines_per_minute", 120U);
  }

  static std::size_t bounded(const appserver::Settings& settings, const char* path,
                             std::size_t usual, std::size_t least, std::size_t most) {
    const std::size_t value = settings.get(path, usual);
    if (value >= least && value <= most) return value;
    throw std::invalid_argument("setting \"" + std::string(path) + "\" is " +
                                std::to_string(value) + ", expected " + std::to_string(least) +
                                " to " + std::to_string(most));
  }

  static bool is_text(std::string_view text) {
    while (!text.empty()) {
      const std::size_t length = appserver::detail::utf8_length(text);
      if (length == 0) return false;
      text.remove_prefix(length);
    }
    return true;
  }

  // Null: there are as many as may be, and somebody in each.
  Room* room_of(const std::string& name) {
    const auto found = rooms_.find(name);
    if (found != rooms_.end()) return &found->second;
    if (rooms_.size() >= max_rooms_) {
      const auto empty = std::find_if(rooms_.begin(), rooms_.end(),
                                      [](const auto& each) { return each.second.members.empty(); });
      if (empty == rooms_.end()) return nullptr;
      rooms_.erase(empty);
    }
    return &rooms_[name];
  }

  void enter(Room& room, Connection connection) {
    room.members.insert(connection);
    members_.add(1);
  }
  void leave(Connection connection, const Member& member) {
    rooms_.at(member.room).members.erase(connection);
    members_.add(-1);
  }

  bool may_say_more(Member& member) const {
    if (lines_per_minute_ == 0) return true;
    const std::int64_t minute = now() / 60'000;
    if (std::exchange(member.minute, minute) != minute) member.said = 0;
    return ++member.said <= lines_per_minute_;
  }

  void publish(const Member& member, Kind kind, std::string text = {}) {
    hear(member.room, {from_, ++last_, kind, now(), member.name, std::move(text)});
  }

  void hear(const std::string& room_name, const Line& line) {
    Room* const room = room_of(room_name);
    if (room != nullptr && room->add(line, history_)) tell(*room, line);
  }

  static void tell(const Room& room, const Line& line) {
    const std::string json = to_json(line);
    for (const Connection member : room.members) tell(member, json);
  }
  static void tell(Connection member, const Line& line) { tell(member, to_json(line)); }
  // One that reads too slowly to be told everything comes again, and gets what was said last.
  static void tell(Connection member, const std::string& json) {
    if (!member.send(json)) member.abort();
  }

  appserver::Router router_;
  std::map<std::string, Room, std::less<>> rooms_;
  appserver::Gauge members_;
  std::string from_;
  std::uint64_t last_ = 0;
  std::size_t history_ = 50;
  std::size_t max_line_ = 1000;
  std::size_t max_rooms_ = 1000;
  unsigned lines_per_minute_ = 120;
};

}  // namespace

APPSERVER_PLUGIN(ChatRoom, "chat-room", "1.0.0")
