// Connections through the SDK, over a host in memory.
#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <vector>

using namespace appserver;
using testing::Client;
using testing::HarnessOf;
using testing::Options;
using testing::Protocol;

namespace {

// What a connection knows; how many of them there are.
struct Note {
  explicit Note(std::string said = {}) : text(std::move(said)) { ++count(); }
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;
  ~Note() { --count(); }
  static int& count() {
    static int notes = 0;
    return notes;
  }
  std::string text;
};

// Each hook writes down that it was called; a test may say what it does.
class Recorder : public Plugin {
 public:
  std::vector<std::string> events;
  std::vector<Connection> seen;
  std::function<void(Connection)> connects = [](Connection) {};
  std::function<void(Connection, Message)> answers = [](Connection connection, Message message) {
    connection.send(message);
  };
  std::function<void(Connection, Upgrade&)> opens = [](Connection, Upgrade&) {};
  std::function<void(Connection, std::string_view)> fails =
      [](Connection connection, std::string_view) { connection.close(); };

  void on_connect(Connection connection) override {
    events.emplace_back("connect");
    seen.push_back(connection);
    connection.emplace<Note>("new");
    connects(connection);
  }
  void on_message(Connection connection, Message message) override {
    events.push_back("message " + std::string(message));
    answers(connection, message);
  }
  void on_close(Connection connection, Close close) override {
    events.push_back("close " + std::to_string(static_cast<int>(close.reason)) + " " +
                     std::to_string(close.code) + " " + std::string(close.text));
    still_there_in_close = connection.get<Note>() != nullptr;
    sent_in_close = connection.send("too late");
  }
  void on_error(Connection connection, std::string_view what) override {
    events.push_back("error " + std::string(what));
    fails(connection, what);
  }
  void on_buffer_full(Connection) override { events.emplace_back("full"); }
  void on_buffer_drain(Connection) override { events.emplace_back("drain"); }

  bool still_there_in_close = false;
  bool sent_in_close = true;
};

class Opener final : public Recorder {
 public:
  void on_websocket_open(Connection connection, const appserver::Request& request,
                         Upgrade& upgrade) override {
    events.push_back("open " + std::string(request.path()));
    connection.emplace<Note>("opened");
    connection.send("welcome");
    opens(connection, upgrade);
  }
};

class Mover : public Recorder {
 public:
  std::size_t extra = 0;
  bool refuses = false;
  void on_handover(Connection connection, std::string& state) override {
    if (refuses) throw std::runtime_error("not now");
    state = connection.get<Note>()->text + std::string(extra, '.');
  }
  void on_adopt(Connection connection, std::string_view state) override {
    events.push_back("adopt " + std::string(state));
    seen.push_back(connection);
    connection.emplace<Note>(std::string(state));
    if (refuses) throw std::runtime_error("not that one");
  }
};

// Messages end with '.'.
class Sentences final : public Recorder {
 public:
  std::size_t measure(Connection, std::string_view data) override {
    if (data.front() == '.') throw ProtocolError("an empty sentence");
    const std::size_t end = data.find('.');
    return end == std::string_view::npos ? 0 : end + 1;
  }
};

const char* const kByPeer = "close 0 0 ";

}  // namespace

TEST_CASE("a connection's hooks come in order, and its context goes with it") {
  const auto protocol = GENERATE(Protocol::kText, Protocol::kFrame, Protocol::kTcp);
  HarnessOf<Recorder> harness;
  Client client = harness.connect(protocol);
  REQUIRE(Note::count() == 1);
  REQUIRE(client.send("one"));
  REQUIRE(client.receive() == "one");
  REQUIRE_FALSE(client.receive());
  client.close();
  REQUIRE_FALSE(client.send("two"));
  REQUIRE(harness.plugin().events == std::vector<std::string>{"connect", "message one", kByPeer});
  REQUIRE(harness.plugin().still_there_in_close);
  REQUIRE_FALSE(harness.plugin().sent_in_close);
  REQUIRE(Note::count() == 0);
}

TEST_CASE("a name of a connection outlives it, and then says no to everything") {
  HarnessOf<Recorder> harness;
  Client client = harness.connect(Protocol::kText);
  const Connection connection = harness.plugin().seen.at(0);
  REQUIRE(connection.open());
  REQUIRE(connection == client.connection());
  REQUIRE(std::unordered_set<Connection>{connection}.contains(client.connection()));
  client.reset();
  REQUIRE(harness.plugin().events.back() == "close 5 0 Connection reset by peer");
  REQUIRE_FALSE(connection.open());
  REQUIRE_FALSE(connection.send("x"));
  REQUIRE_FALSE(connection.close());
  REQUIRE_FALSE(connection.abort());
  REQUIRE_FALSE(connection.pause());
  REQUIRE_FALSE(connection.resume());
  REQUIRE(connection.get<Note>() == nullptr);
  REQUIRE(connection.info().protocol.empty());
  REQUIRE(connection.unsent() == 0);
  REQUIRE_THROWS_AS(connection.emplace<Note>(), std::runtime_error);
  REQUIRE(Note::count() == 0);
  REQUIRE_FALSE(Connection().send("x"));
  REQUIRE_FALSE(Connection());
}

TEST_CASE("a context is what was put there last, and of its own type only") {
  HarnessOf<Recorder> harness;
  const Client client = harness.connect(Protocol::kText);
  const Connection connection = client.connection();
  connection.emplace<Note>("second");
  REQUIRE(Note::count() == 1);
  REQUIRE(connection.get<Note>()->text == "second");
  REQUIRE(connection.get<int>() == nullptr);
  connection.emplace<int>(7);
  REQUIRE(Note::count() == 0);
  REQUIRE(*connection.get<int>() == 7);
}

TEST_CASE("an exception in on_connect cuts the client off, and no on_close follows") {
  HarnessOf<Recorder> harness;
  harness.plugin().connects = [](Connection) { throw std::runtime_error("full house"); };
  Client client = harness.connect(Protocol::kText);
  REQUIRE(client.was_reset());
  REQUIRE_FALSE(client.send("x"));
  REQUIRE(harness.plugin().events == std::vector<std::string>{"connect"});
  REQUIRE(harness.logged() == "error: on_connect: std::runtime_error: full house\n");
  REQUIRE(Note::count() == 0);
}

TEST_CASE("an exception in on_message is logged and told, and closes unless the plugin decides") {
  HarnessOf<Recorder> harness;
  const bool stays = GENERATE(true, false);
  harness.plugin().answers = [](Connection, Message) { throw std::out_of_range("price 17"); };
  if (stays) {
    harness.plugin().fails = [](Connection connection, std::string_view what) {
      connection.send("sorry: " + std::string(what));
    };
  }
  Client client = harness.connect(Protocol::kText);
  client.send("x");
  REQUIRE(harness.plugin().events.at(2) == "error std::out_of_range: price 17");
  REQUIRE(harness.logged() == "error: on_message: std::out_of_range: price 17\n");
  REQUIRE(client.is_open() == stays);
  if (stays) REQUIRE(client.receive() == "sorry: std::out_of_range: price 17");
}

TEST_CASE("an exception in on_error closes a WebSocket with 1011") {
  HarnessOf<Recorder> harness;
  harness.plugin().answers = [](Connection, Message) { throw std::runtime_error("a"); };
  harness.plugin().fails = [](Connection, std::string_view) { throw std::runtime_error("b"); };
  Client client = harness.websocket();
  client.send("x");
  REQUIRE(client.close_code() == 1011);
  REQUIRE(harness.plugin().events.back() == "close 1 1011 on_message failed");
}

TEST_CASE("close sends what waits, abort does not, and neither calls back within itself") {
  HarnessOf<Recorder> harness;
  auto& plugin = harness.plugin();
  const bool aborts = GENERATE(true, false);
  plugin.answers = [&](Connection connection, Message) {
    connection.send("last words");
    REQUIRE((aborts ? connection.abort() : connection.close()));
    plugin.events.emplace_back("closing");
    REQUIRE_FALSE(connection.send("more"));
  };
  Client client = harness.connect(Protocol::kText);
  client.stop_reading();
  client.send("bye");
  REQUIRE(plugin.events.at(2) == "closing");
  client.read();
  REQUIRE(plugin.events.back() == "close 1 0 ");
  REQUIRE(client.was_reset() == aborts);
  REQUIRE(client.receive().has_value() != aborts);
  REQUIRE_FALSE(client.is_open());
}

TEST_CASE("a WebSocket is told why it is closed, and its own code comes back") {
  HarnessOf<Recorder> harness;
  harness.plugin().answers = [](Connection connection, Message) {
    REQUIRE_THROWS_AS(connection.close(1005), std::invalid_argument);
    REQUIRE_THROWS_AS(connection.close(4000, std::string(124, 'x')), std::invalid_argument);
    REQUIRE_THROWS_AS(connection.close(4000, "\xff"), std::invalid_argument);
    REQUIRE(connection.close(4000, "enough"));
  };
  Client client = harness.websocket();
  client.send("x");
  REQUIRE(client.close_code() == 4000);
  REQUIRE(client.close_reason() == "enough");
  REQUIRE(harness.plugin().events.back() == "close 1 4000 ");

  Client other = harness.websocket();
  other.close(3001, "tab closed");
  REQUIRE(other.close_code() == 3001);
  REQUIRE(harness.plugin().events.back() == "close 0 3001 tab closed");
}

TEST_CASE("what cannot be a message of the protocol is not sent, and says why") {
  HarnessOf<Recorder> harness({.max_message = 100});
  const Client line = harness.connect(Protocol::kText);
  REQUIRE_THROWS_AS(line.connection().send("a\nb"), std::invalid_argument);
  REQUIRE_THROWS_AS(line.connection().send("a\r"), std::invalid_argument);
  const Client websocket = harness.websocket();
  REQUIRE_THROWS_AS(websocket.connection().send("\xc3\x28"), std::invalid_argument);
  REQUIRE(websocket.connection().send_binary("\xc3\x28"));
  for (const Client& each : {line, websocket}) {
    REQUIRE(each.connection().send(std::string(100, 'x')));
    REQUIRE_THROWS_AS(each.connection().send(std::string(101, 'x')), std::invalid_argument);
  }
}

TEST_CASE("from another thread nothing is done and nothing is changed") {
  HarnessOf<Recorder> harness;
  Client client = harness.connect(Protocol::kFrame);
  const Connection connection = client.connection();
  std::thread([&] {
    CHECK_THROWS_AS(connection.send("x"), std::invalid_argument);
    CHECK_FALSE(connection.abort());
    CHECK(connection.get<Note>() == nullptr);
  }).join();
  harness.run();
  REQUIRE(client.is_open());
  REQUIRE_FALSE(client.receive());
}

TEST_CASE("a message over the limit ends the connection unseen") {
  HarnessOf<Recorder> harness({.max_message = 10});
  Client client = harness.websocket();
  client.send(std::string(11, 'x'));
  REQUIRE(client.close_code() == 1009);
  REQUIRE(harness.plugin().events ==
          std::vector<std::string>{"connect", "close 4 1009 a message over limits.max_message"});
}

TEST_CASE("a slow client fills the buffer, and on_buffer_drain says when to go on") {
  HarnessOf<Recorder> harness({.send_buffer = 1000});
  Client client = harness.connect(Protocol::kFrame);
  client.stop_reading();
  client.send(std::string(500, 'a'));
  client.send(std::string(500, 'b'));
  auto& events = harness.plugin().events;
  REQUIRE(events.back() == "full");
  REQUIRE(client.connection().unsent() == 1008);
  REQUIRE_FALSE(client.connection().send("more"));
  client.send("waits");
  REQUIRE(events.back() == "full");
  client.read();
  REQUIRE(events.at(events.size() - 2) == "drain");
  REQUIRE(events.back() == "message waits");
  REQUIRE(client.receive_all().size() == 3);
  REQUIRE(client.connection().info().bytes_out == 1017);
}

TEST_CASE("a paused connection has no messages until it is resumed, nor an end") {
  HarnessOf<Recorder> harness;
  Client client = harness.connect(Protocol::kText);
  harness.plugin().answers = [](Connection connection, Message) { connection.pause(); };
  client.send("one");
  client.send("two");
  REQUIRE(client.connection().info().paused);
  client.send("three");
  client.close();
  auto& events = harness.plugin().events;
  REQUIRE(events.back() == "message one");
  harness.plugin().answers = [](Connection, Message) {};
  harness.plugin().seen.at(0).resume();
  harness.run();
  REQUIRE(events == std::vector<std::string>{"connect", "message one", "message two",
                                             "message three", kByPeer});
}

TEST_CASE("a connection tells of itself") {
  HarnessOf<Recorder> harness;
  Client client = harness.connect(Protocol::kText);
  client.send("hello");
  const ConnectionInfo info = client.connection().info();
  REQUIRE(info.protocol == "text");
  REQUIRE(info.remote == "192.0.2.1:5123");
  REQUIRE(info.listener == "text://198.51.100.1:80");
  REQUIRE(info.bytes_in == 6);
  REQUIRE(info.bytes_out == 6);
  REQUIRE_FALSE(info.paused);
}

TEST_CASE("bytes of tcp come as they came, or as measure cuts them") {
  SECTION("as they came") {
    HarnessOf<Recorder> harness;
    Client client = harness.connect(Protocol::kTcp);
    client.send("a.b");
    REQUIRE(harness.plugin().events.back() == "message a.b");
  }
  SECTION("cut") {
    HarnessOf<Sentences> harness;
    Client client = harness.connect(Protocol::kTcp);
    client.send("One.Tw");
    client.send("o.Three.");
    REQUIRE(harness.plugin().events ==
            std::vector<std::string>{"connect", "message One.", "message Two.", "message Three."});
    REQUIRE(client.receive() == "One.Two.Three.");
    client.send(".");
    REQUIRE(harness.plugin().events.back() == "close 3 0 what came is no message of tcp");
    REQUIRE(harness.logged().find("an empty sentence") != std::string::npos);
    REQUIRE_FALSE(client.is_open());
  }
}

TEST_CASE("a pipe carries bytes past on_message, and ends both ends") {
  HarnessOf<Recorder> harness;
  Client left = harness.connect(Protocol::kTcp);
  Client right = harness.connect(Protocol::kTcp);
  REQUIRE_FALSE(left.connection().pipe_to(left.connection()));
  const Client line = harness.connect(Protocol::kText);
  REQUIRE_FALSE(left.connection().pipe_to(line.connection()));
  REQUIRE(left.connection().pipe_to(right.connection()));
  REQUIRE(right.connection().pipe_to(left.connection()));
  left.send("ping");
  REQUIRE(right.receive() == "ping");
  right.send("pong");
  REQUIRE(left.receive() == "pong");
  REQUIRE(harness.plugin().events.back() == "connect");
  left.close();
  REQUIRE_FALSE(right.is_open());
}

TEST_CASE("a plugin accepts a WebSocket with a subprotocol, or refuses it with a status") {
  HarnessOf<Opener> harness;
  SECTION("accepted") {
    harness.plugin().opens = [](Connection, Upgrade& upgrade) { upgrade.choose("chat.2"); };
    Client client = harness.websocket(
        {.target = "/room", .headers = {{"Sec-WebSocket-Protocol", "chat.1, chat.2"}}});
    REQUIRE(client.receive() == "welcome");
    REQUIRE(client.subprotocol() == "chat.2");
    REQUIRE(client.connection().info().subprotocol == "chat.2");
    REQUIRE(harness.plugin().events == std::vector<std::string>{"open /room"});
  }
  SECTION("refused") {
    harness.plugin().opens = [](Connection, Upgrade& upgrade) { upgrade.refuse(403, "not you"); };
    Client client = harness.websocket();
    REQUIRE(client.refused() == 403);
    REQUIRE(client.refusal() == "not you");
    REQUIRE_FALSE(client.receive());
  }
  SECTION("failed") {
    harness.plugin().opens = [](Connection, Upgrade& upgrade) { upgrade.choose("chat.2"); };
    const Client client = harness.websocket();
    REQUIRE(client.refused() == 500);
    REQUIRE(harness.logged().find("does not offer this subprotocol") != std::string::npos);
  }
  if (harness.connections() == 0) {
    REQUIRE(Note::count() == 0);
    REQUIRE(harness.plugin().events == std::vector<std::string>{"open /"});
  }
}

TEST_CASE("a connection moves to the successor with its state, what waits and what is unread") {
  HarnessOf<Mover> old({.send_buffer = 100});
  HarnessOf<Mover> next({.generation = 2});
  Client client = old.connect(Protocol::kText);
  Client slow = old.connect(Protocol::kText);
  const Connection before = client.connection();
  before.emplace<Note>("three in the basket");
  before.pause();
  client.send("unread");
  slow.stop_reading();
  slow.send(std::string(200, 'x'));
  old.hand_over_to(next);
  REQUIRE_FALSE(before.open());
  REQUIRE(old.connections() == 0);
  REQUIRE(old.plugin().events.back() == "full");
  old.stop();

  REQUIRE(next.plugin().events ==
          std::vector<std::string>{"adopt three in the basket", "adopt new"});
  REQUIRE(Note::count() == 2);
  client.connection().resume();
  next.run();
  REQUIRE(client.receive() == "unread");
  slow.read();
  REQUIRE(slow.receive() == std::string(200, 'x'));
}

TEST_CASE("a connection that cannot go along is ended politely") {
  HarnessOf<Mover> old;
  Client websocket = old.websocket();
  Client line = old.connect(Protocol::kText);
  SECTION("a state over 64 KiB") {
    old.plugin().extra = 65536;
    HarnessOf<Mover> next;
    old.hand_over_to(next);
    REQUIRE(old.logged().find("more than 64 KiB of state") != std::string::npos);
  }
  SECTION("on_handover throws") {
    old.plugin().refuses = true;
    HarnessOf<Mover> next;
    old.hand_over_to(next);
    REQUIRE(old.plugin().events.back() == "close 6 0 ");
  }
  SECTION("on_adopt throws") {
    HarnessOf<Mover> next;
    next.plugin().refuses = true;
    old.hand_over_to(next);
    REQUIRE(next.logged().find("on_adopt: std::runtime_error: not that one") != std::string::npos);
    REQUIRE(next.plugin().events.back() == "adopt new");
  }
  SECTION("the successor has no on_adopt") {
    HarnessOf<Recorder> next;
    old.hand_over_to(next);
    REQUIRE(next.plugin().events.empty());
  }
  REQUIRE(websocket.close_code() == 1001);
  REQUIRE_FALSE(line.is_open());
  REQUIRE(old.connections() == 0);
  REQUIRE(Note::count() == 0);
}

TEST_CASE("the end of a worker is the end of its connections, before on_worker_stop") {
  HarnessOf<Recorder> harness;
  Client client = harness.websocket();
  client.send("x");
  client.stop_reading();
  client.connection().send("unread");
  const auto events = std::make_shared<std::vector<std::string>>();
  harness.stop();
  REQUIRE_FALSE(client.is_open());
  REQUIRE(Note::count() == 0);
}
