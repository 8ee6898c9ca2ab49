#include <sqlite3.h>
#include <unistd.h>

#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store.hpp"
#include "wire.hpp"

using appserver::testing::ClientOfGateway;
using appserver::testing::Harness;
using appserver::testing::Options;
using appserver::testing::SettingMap;
using appserver::testing::SharedBus;
using appserver::testing::SharedGateway;
using appserver::testing::StartFailed;
using Texts = std::vector<std::string>;

namespace {

std::string id(int number) {
  const std::string digits = std::to_string(number);
  return std::string(16 - digits.size(), '0') + digits;
}

std::string wish(const std::string& what, const Texts& more) {
  appserver::JsonText json;
  json.object().key("do").value(what);
  for (std::size_t i = 0; i + 1 < more.size(); i += 2) json.key(more[i]).value(more[i + 1]);
  return json.end().take();
}

// "said Ada hello", "told Ada Bob psst", "no taken", and so on, without what a test cannot know.
std::string shortened(const std::string& json) {
  const auto object = chat::parse_object(json);
  if (!object) return "no JSON: " + json;
  const auto text = [&](const char* key) { return chat::text_of(*object, key); };
  std::string line = text("is");
  for (const char* key : {"name", "to", "text", "why"}) {
    if (!text(key).empty()) line += " " + text(key);
  }
  if (const auto* names = object->if_contains("names")) {
    for (const auto& name : names->as_array()) line += "," + std::string(name.as_string());
  }
  return line;
}

// Workers of one group behind one gateway, with one database.
struct Fixture {
  std::filesystem::path folder = make_folder();
  std::shared_ptr<SharedGateway> gateway = std::make_shared<SharedGateway>();
  std::shared_ptr<SharedBus> bus = std::make_shared<SharedBus>();
  std::vector<std::unique_ptr<Harness>> workers;
  ~Fixture() {
    workers.clear();
    std::filesystem::remove_all(folder);
  }

  std::string database() const { return (folder / "chat.db").string(); }
  Options options(SettingMap more = {}) const {
    more["database"] = database();
    more.try_emplace("lines_per_minute", "0");
    return {.settings = std::move(more), .bus = bus, .gateway = gateway};
  }
  Harness& start(SettingMap more = {}) {
    workers.push_back(std::make_unique<Harness>(options(std::move(more))));
    return *workers.back();
  }

  void run() {
    for (const auto& worker : workers) worker->run();
  }
  // What comes until one that begins so, this one included; fails the test where none does.
  Texts until(ClientOfGateway& client, const std::string& last) {
    Texts all;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      run();
      while (const auto message = client.receive()) {
        all.push_back(shortened(*message));
        if (all.back().starts_with(last)) return all;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL("nothing that begins with \"" << last
                                       << "\" came: " << Catch::StringMaker<Texts>::convert(all));
    return all;
  }
  std::string last(ClientOfGateway& client, const std::string& begin) {
    return until(client, begin).back();
  }

  ClientOfGateway join(Harness& worker, const std::string& name, const std::string& room = "lobby",
                       const std::string& key = "") {
    ClientOfGateway client = worker.gateway_websocket();
    client.send(wish("join", {"name", name, "room", room, "key", key}));
    REQUIRE(last(client, "welcome").starts_with("welcome " + name));
    return client;
  }
  void say(ClientOfGateway& client, int number, const std::string& text) {
    client.send(wish("say", {"id", id(number), "text", text}));
  }
  void run_sql(const char* sql) const {
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open(database().c_str(), &raw) == SQLITE_OK);
    const int code = sqlite3_exec(raw, sql, nullptr, nullptr, nullptr);
    sqlite3_close(raw);
    REQUIRE(code == SQLITE_OK);
  }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "chat-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    return name;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "what is said in a room is told to all in it, by whatever worker") {
  Harness& one = start();
  Harness& two = start();
  ClientOfGateway ada = join(one, "Ada");
  ClientOfGateway eve = join(one, "Eve", "cellar");
  ClientOfGateway bob = join(two, "Bob");
  CHECK(until(ada, "came") == Texts{"came Bob"});
  say(bob, 1, "hello");
  CHECK(until(ada, "said") == Texts{"said Bob hello"});
  CHECK(until(bob, "kept") == Texts{"said Bob hello", "kept"});
  eve.send(wish("who", {}));
  CHECK(until(eve, "who") == Texts{"who,Eve"});
  ada.send(wish("who", {}));
  CHECK(until(ada, "who") == Texts{"who,Ada,Bob"});
  bob.close();
  CHECK(until(ada, "left") == Texts{"left Bob"});
  CHECK(two.metric("chat_kept") == 1);
}

TEST_CASE_METHOD(Fixture, "who comes is told what was said last, also after a restart") {
  {
    ClientOfGateway ada = join(start({{"history", "3"}}), "Ada");
    for (int i = 1; i <= 5; ++i) say(ada, i, std::to_string(i));
    CHECK(until(ada, "said Ada 5").size() == 9);
    CHECK(until(ada, "kept") == Texts{"kept"});
    ada.close();
    run();
    workers.clear();
  }
  ClientOfGateway bob = start({{"history", "3"}}).gateway_websocket();
  bob.send(wish("join", {"name", "Bob", "room", "lobby"}));
  CHECK(until(bob, "said Ada 5") ==
        Texts{"welcome Bob,Bob", "said Ada 3", "said Ada 4", "said Ada 5"});
}

TEST_CASE_METHOD(Fixture, "a history of long lines is no more than a client takes at once") {
  Harness& one = start({{"history", "200"}, {"max_text", "4000"}});
  const std::int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  chat::Store store(database(), {.age = 3'600'000});
  for (int i = 0; i < 100; ++i) {
    chat::Line line{0, now, "lobby", id(i), "Eve", std::string(4000, '<')};
    REQUIRE(store.keep(line) == chat::Kept::added);
  }
  ClientOfGateway ada = join(one, "Ada");
  say(ada, 1, "end");
  const Texts lines = until(ada, "said Ada end");
  CHECK(lines.size() > 10);
  CHECK(lines.size() < 14);
  CHECK(ada.is_open());
}

TEST_CASE_METHOD(Fixture,
                 "a name is one client's, at any worker and in any room, until it has gone") {
  Harness& one = start();
  ClientOfGateway ada = join(one, "Ada");
  ClientOfGateway other = start().gateway_websocket();
  const std::string wanted = wish("join", {"name", "aDA", "room", "cellar", "key", "k"});
  other.send(wanted);
  CHECK(last(other, "no") == "no this name is taken");
  CHECK(other.uid().empty());
  say(other, 1, "hello");
  CHECK(last(other, "no") == "no join a room first");
  ada.close();
  run();
  other.send(wanted);
  CHECK(last(other, "welcome") == "welcome aDA,aDA");
  CHECK(other.uid() == "ada");
}

TEST_CASE_METHOD(Fixture, "while a name is being taken nobody else gets it; the lease runs out") {
  Harness& one = start();
  bus->set("chat/test/ada", "another client", 5000, APPSERVER_BUS_ALWAYS, 0, 0);
  ClientOfGateway ada = one.gateway_websocket();
  const std::string wanted = wish("join", {"name", "Ada", "room", "lobby"});
  ada.send(wanted);
  CHECK(last(ada, "no") == "no somebody takes this name just now");
  one.advance(std::chrono::seconds(6));
  ada.send(wanted);
  CHECK(last(ada, "welcome") == "welcome Ada,Ada");
  run();
  CHECK_FALSE(bus->value("chat/test/ada"));
}

TEST_CASE_METHOD(Fixture, "where a gateway worker is away, nobody is told that a name is free") {
  Harness& one = start();
  gateway->set_partial(true);
  ClientOfGateway ada = one.gateway_websocket();
  ada.send(wish("join", {"name", "Ada", "room", "lobby"}));
  CHECK(last(ada, "no") == "no nobody can tell now whether this name is free");
}

TEST_CASE_METHOD(Fixture, "a page that has lost its connection gets its name back, unnoticed") {
  Harness& one = start();
  ClientOfGateway bob = join(one, "Bob");
  ClientOfGateway lost = join(one, "Ada", "lobby", "secret");
  CHECK(last(bob, "came") == "came Ada");
  ClientOfGateway thief = start().gateway_websocket();
  thief.send(wish("join", {"name", "Ada", "room", "lobby", "key", "guess"}));
  CHECK(last(thief, "no") == "no this name is taken");
  CHECK(lost.is_open());
  ClientOfGateway again = join(*workers.back(), "Ada", "lobby", "secret");
  run();
  CHECK(lost.close_code() == 4001);
  say(again, 1, "back");
  CHECK(until(bob, "said") == Texts{"said Ada back"});
  bob.send(wish("who", {}));
  CHECK(last(bob, "who") == "who,Ada,Bob");
}

TEST_CASE_METHOD(Fixture, "what is sent once more is kept once") {
  ClientOfGateway ada = join(start(), "Ada");
  ClientOfGateway bob = join(start(), "Bob");
  for (int i = 0; i < 3; ++i) say(ada, 1, "hello");
  say(ada, 2, "end");
  CHECK(until(bob, "said Ada end") == Texts{"said Ada hello", "said Ada end"});
  CHECK(until(ada, "said Ada end") ==
        Texts{"came Bob", "said Ada hello", "kept", "kept", "kept", "said Ada end"});
  // Another's id may be the same.
  say(bob, 1, "me too");
  CHECK(until(ada, "said Bob") == Texts{"kept", "said Bob me too"});
}

TEST_CASE_METHOD(Fixture, "a worker that ends in the midst leaves each line kept once, and told") {
  Harness& one = start();
  ClientOfGateway ada = join(one, "Ada");
  ClientOfGateway bob = join(one, "Bob");
  Harness& two = start();
  static_cast<void>(two);
  for (int i = 1; i <= 20; ++i) say(ada, i, std::to_string(i));
  // Some are kept by now, and told or not; what it has begun ends with it, without an answer.
  workers.front().reset();
  workers.erase(workers.begin());
  Texts said = until(bob, "said Ada 20");
  std::erase_if(said, [](const std::string& each) { return !each.starts_with("said"); });
  CHECK(said.size() == 20);
  ClientOfGateway eve = start().gateway_websocket();
  eve.send(wish("join", {"name", "Eve", "room", "lobby"}));
  CHECK(until(eve, "said Ada 20").size() == 21);
}

TEST_CASE_METHOD(Fixture, "a private message is told to both, and kept nowhere") {
  ClientOfGateway ada = join(start(), "Ada");
  ClientOfGateway bob = join(start(), "Bob", "cellar");
  ClientOfGateway eve = join(start(), "Eve");
  const auto tell = [&](int number, const std::string& to) {
    ada.send(wish("tell", {"id", id(number), "to", to, "text", "psst"}));
  };
  tell(1, "bob");
  CHECK(last(bob, "told") == "told Ada bob psst");
  CHECK(until(ada, "kept") == Texts{"came Eve", "told Ada bob psst", "kept"});
  tell(2, "Carl");
  CHECK(last(ada, "no") == "no Carl is not here");
  eve.send(wish("who", {}));
  CHECK(until(eve, "who") == Texts{"who,Ada,Eve"});
  chat::Store store(database(), {.age = 1'000'000'000});
  CHECK(store.last("", 100, 0).front().text.empty());
}

TEST_CASE_METHOD(Fixture, "who goes to another room leaves the one before") {
  ClientOfGateway ada = join(start(), "Ada");
  ClientOfGateway bob = join(start(), "Bob");
  bob.send(wish("join", {"name", "Bob", "room", "cellar"}));
  CHECK(last(bob, "welcome") == "welcome Bob,Bob");
  CHECK(last(ada, "left") == "left Bob");
  CHECK(bob.groups() == std::set<std::string>{"cellar"});
  say(ada, 1, "alone");
  say(bob, 1, "alone, too");
  CHECK(until(bob, "kept") == Texts{"said Bob alone, too", "kept"});
  bob.send(wish("join", {"name", "Bert", "room", "cellar"}));
  CHECK(last(bob, "no") == "no you have a name already: connect again for another");
}

TEST_CASE_METHOD(Fixture, "what is no message of a chat is refused, and the client stays") {
  Harness& one = start({{"max_text", "5"}, {"max_members", "1"}});
  ClientOfGateway ada = one.gateway_websocket();
  for (const std::string& each :
       {std::string("nonsense"), std::string("[]"), std::string("{\"do\":{\"a\":{\"b\":1}}}"),
        std::string(20'000, ' ') + "{\"do\":\"who\"}", std::string("{\"do\":\"\\ud800\"}")}) {
    CAPTURE(each.substr(0, 40));
    ada.send(each);
    CHECK(last(ada, "no") == "no no message of a chat");
  }
  ada.send_binary("{\"do\":\"who\"}");
  CHECK(last(ada, "no") == "no no message of a chat");
  for (const std::string& name : {std::string(), std::string(" "), std::string("\n"),
                                  std::string("a "), std::string(33, 'x')}) {
    ada.send(wish("join", {"name", name, "room", "lobby"}));
    CHECK(last(ada, "no") == "no a name and a room have 1 to 32 bytes");
  }
  ada.send(wish("join", {"name", "Ada", "room", "lobby"}));
  CHECK(last(ada, "welcome") == "welcome Ada,Ada");
  say(ada, 1, "123456");
  CHECK(last(ada, "no") == "no a text has 1 to 5 bytes");
  ada.send(wish("say", {"id", "short", "text", "a"}));
  CHECK(last(ada, "no") == "no an id has 16 to 64 letters, digits, - and _");
  ada.send(wish("dance", {}));
  CHECK(last(ada, "no") == "no nothing of this kind can be done");
  say(ada, 2, "\x01\n<b>");
  CHECK(last(ada, "said") == "said Ada   <b>");
  ClientOfGateway bob = one.gateway_websocket();
  bob.send(wish("join", {"name", "Bob", "room", "lobby"}));
  CHECK(last(bob, "no") == "no this room is full");
}

TEST_CASE_METHOD(Fixture, "who says too much at once is told so, at whatever worker") {
  const SettingMap few{{"lines_per_minute", "2"}};
  ClientOfGateway ada = join(start(few), "Ada", "lobby", "key");
  say(ada, 1, "one");
  say(ada, 2, "two");
  say(ada, 3, "three");
  CHECK(last(ada, "no") == "no not so fast");
  ada = join(start(few), "Ada", "lobby", "key");
  say(ada, 4, "four");
  CHECK(last(ada, "no") == "no not so fast");
  say(ada, 2, "two");
  CHECK(last(ada, "kept") == "kept");
}

TEST_CASE_METHOD(Fixture, "a database that fails is told to who speaks, and nobody is lost") {
  Harness& one = start();
  ClientOfGateway ada = join(one, "Ada");
  run_sql("ALTER TABLE lines RENAME TO away");
  say(ada, 1, "hello");
  CHECK(last(ada, "no") == "no this cannot be done now");
  CHECK(one.logged().find("no such table: lines") != std::string::npos);
  ClientOfGateway bob = join(one, "Bob");
  run_sql("ALTER TABLE away RENAME TO lines");
  say(ada, 1, "hello");
  CHECK(last(bob, "said") == "said Ada hello");
}

TEST_CASE_METHOD(Fixture, "a page of another site cannot join") {
  Harness& one = start({{"origin", "https://friend.example"}});
  const auto from = [&](const std::string& origin) {
    ClientOfGateway client = one.gateway_websocket({.headers = {{"Origin", origin}}});
    client.send(wish(
        "join", {"name", "x" + std::to_string(one.gateway().clients().size()), "room", "lobby"}));
    return client;
  };
  for (const char* origin : {"http://evil.example", "null", "http://test.evil.example",
                             "http://evil.example:8081", "https://friend.example:1"}) {
    CAPTURE(origin);
    ClientOfGateway client = from(origin);
    CHECK(client.close_code() == 4003);
    run();
    CHECK_FALSE(client.receive());
    CHECK(gateway->in_group("lobby").empty());
  }
  for (const char* origin : {"http://test:8080", "https://test", "https://friend.example"}) {
    ClientOfGateway client = from(origin);
    CHECK(last(client, "welcome").starts_with("welcome"));
  }
}

TEST_CASE_METHOD(Fixture, "a room remembers as much as it may, and not for longer than it may") {
  chat::Store store(database(), {.of_room = 3, .in_all = 5, .age = 1000, .per_minute = 0});
  store.migrate();
  int number = 0;
  const auto keep = [&](const std::string& room, std::int64_t time) {
    chat::Line line{0, time, room, id(++number), "Ada", std::to_string(number)};
    return store.keep(line);
  };
  const auto texts = [&](const std::string& room, std::int64_t now) {
    Texts all;
    for (const chat::Line& line : store.last(room, 100, now)) all.push_back(line.text);
    return all;
  };
  for (int i = 0; i < 4; ++i) CHECK(keep("a", 100) == chat::Kept::added);
  CHECK(texts("a", 200) == Texts{"2", "3", "4"});
  CHECK(keep("b", 500) == chat::Kept::added);
  CHECK(keep("b", 500) == chat::Kept::added);
  CHECK(keep("b", 500) == chat::Kept::added);
  CHECK(texts("a", 200) == Texts{"3", "4"});
  CHECK(texts("a", 1100).empty());
  CHECK(keep("c", 1600) == chat::Kept::added);
  CHECK(texts("b", 600).empty());
}

TEST_CASE_METHOD(Fixture, "the page and its parts come from the plugin alone") {
  Harness harness({.settings = {{"websocket", ":8081"}}});
  const auto page = harness.get("/");
  REQUIRE(page.status() == 200);
  CHECK(page.header("Content-Security-Policy").find("default-src 'none'; script-src 'self'") == 0);
  CHECK(page.body().find("data-websocket=\":8081\"") != std::string::npos);
  for (const char* path : {"/", "/chat.css", "/chat.js"}) {
    CAPTURE(path);
    REQUIRE(harness.get(path).status() == 200);
    for (const char* never : {"http://", "https://", "innerHTML", "eval(", "onclick=\""})
      CHECK(harness.get(path).body().find(never) == std::string::npos);
  }
  CHECK(harness.get("/other").status() == 404);
}

TEST_CASE_METHOD(Fixture, "settings that cannot be are said before anything serves") {
  const auto why = [](const SettingMap& settings) {
    return appserver::testing::self_check({.settings = settings}).value_or("");
  };
  CHECK(why({}).find("a setting is missing") != std::string::npos);
  CHECK(why({{"database", database()}}).empty());
  CHECK(why({{"database", database()}, {"history", "201"}}).find("1 to 200") != std::string::npos);
  for (const char* wrong : {":x", ":", "\"><script>", "http://a/", "8081"}) {
    CAPTURE(wrong);
    CHECK(why({{"websocket", wrong}}).find("setting \"websocket\"") != std::string::npos);
  }
  CHECK(why({{"websocket", "wss://chat.example/ws"}}).empty());
  CHECK_THROWS_AS(Harness({.settings = {{"database", (folder / "no/x.db").string()}}}),
                  StartFailed);
  start();
  run_sql("PRAGMA user_version = 99");
  CHECK(why({{"database", database()}}).find("a newer build") != std::string::npos);
}
