#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

using appserver::testing::Client;
using appserver::testing::Fields;
using appserver::testing::Harness;
using appserver::testing::StartFailed;

namespace {

Client join(Harness& harness, const std::string& name, const std::string& room = "lobby",
            const Fields& headers = {}) {
  return harness.websocket({.target = "/chat?room=" + room + "&name=" + name, .headers = headers});
}

// "Ada: hello", "Ada came"; without the time.
std::vector<std::string> lines(Client& client) {
  const auto member = [](const std::string& json, const std::string& key) {
    const std::size_t at = json.find("\"" + key + "\":\"");
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + key.size() + 4;
    return json.substr(begin, json.find('"', begin) - begin);
  };
  std::vector<std::string> all;
  for (const auto& each : client.receive_all()) {
    const std::string kind = member(each.bytes, "kind");
    const std::string text = member(each.bytes, "text");
    all.push_back(member(each.bytes, "name") + (kind == "said" ? ": " + text : " " + kind));
    if (kind == "note") all.back() = "note: " + text;
  }
  return all;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the page and its parts come from the plugin alone") {
  Harness harness;
  const auto page = harness.get("/");
  REQUIRE(page.status() == 200);
  REQUIRE(page.header("Content-Security-Policy").find("default-src 'none'") == 0);
  for (const char* path : {"/", "/chat.css", "/chat.js"}) {
    REQUIRE(harness.get(path).status() == 200);
    REQUIRE(harness.get(path).body().find("http://") == std::string::npos);
    REQUIRE(harness.get(path).body().find("https://") == std::string::npos);
    REQUIRE(harness.get(path).body().find("innerHTML") == std::string::npos);
  }
  REQUIRE(harness.get("/other").status() == 404);
}

TEST_CASE("what is said in a room is told to all in it, and to nobody else") {
  Harness harness;
  Client ada = join(harness, "Ada");
  Client eve = join(harness, "Eve", "cellar");
  Client bob = join(harness, "Bob");
  bob.send("hello");
  REQUIRE(lines(ada) == Lines{"Ada came", "Bob came", "Bob: hello"});
  REQUIRE(lines(bob) == Lines{"Ada came", "Bob came", "Bob: hello"});
  REQUIRE(lines(eve) == Lines{"Eve came"});
  REQUIRE(harness.metric("chat_members") == 3);
  bob.close();
  REQUIRE(lines(ada) == Lines{"Bob left"});
  REQUIRE(harness.metric("chat_members") == 2);
}

TEST_CASE("who comes is told what was said last, as much as is remembered") {
  Harness harness({.settings = {{"history", "10"}}});
  Client ada = join(harness, "Ada");
  for (int i = 0; i < 20; ++i) ada.send(std::to_string(i));
  Client bob = join(harness, "Bob");
  const Lines told = lines(bob);
  REQUIRE(told.size() == 11);
  REQUIRE(told.front() == "Ada: 10");
  REQUIRE(told.back() == "Bob came");
}

TEST_CASE("markup and control characters are only text") {
  Harness harness;
  Client ada = join(harness, "%3Cb%3E%0AAda");
  ada.send("<script>\ta\x01\n");
  const auto all = ada.receive_all();
  REQUIRE(all.back().bytes.find("\"text\":\"\\u003cscript>  a  \"") == std::string::npos);
  REQUIRE(all.back().bytes.find("\"text\":\"\\u003cscript> a  \"") != std::string::npos);
  REQUIRE(all.back().bytes.find("\"name\":\"\\u003cb> Ada\"") != std::string::npos);
}

TEST_CASE("a page of another site cannot join, nor can one without a name") {
  Harness harness;
  REQUIRE(join(harness, "Ada", "lobby", {{"Origin", "http://evil.example"}}).refused() == 403);
  REQUIRE(join(harness, "Ada", "lobby", {{"Origin", "null"}}).refused() == 403);
  REQUIRE(join(harness, "Ada", "lobby", {{"Origin", "http://test"}}).refused() == 0);
  REQUIRE(join(harness, "").refused() == 400);
  REQUIRE(join(harness, "Ada", std::string(33, 'x')).refused() == 400);
  REQUIRE(join(harness, "%ff").refused() == 400);
  REQUIRE(harness.websocket({.target = "/other"}).refused() == 404);
  REQUIRE(harness.connections() == 1);
}

TEST_CASE("who says too much at once, or too long a line, is told so and nobody else") {
  Harness harness({.settings = {{"lines_per_minute", "3"}, {"max_line", "5"}}});
  Client ada = join(harness, "Ada");
  Client bob = join(harness, "Bob");
  static_cast<void>(lines(bob));
  ada.send("123456");
  ada.send_binary("1");
  REQUIRE(lines(ada).back() == "note: a line is a text of at most 5 bytes");
  // A minute may end in between: then three more are said.
  for (int i = 0; i < 7; ++i) ada.send("x");
  REQUIRE(lines(ada).back() == "note: not so fast: this line was not said");
  REQUIRE(lines(bob).size() < 7);
}

TEST_CASE("a room that nobody is in makes room for another, others do not") {
  Harness harness({.settings = {{"max_rooms", "2"}}});
  Client ada = join(harness, "Ada", "one");
  Client bob = join(harness, "Bob", "two");
  REQUIRE(join(harness, "Eve", "three").refused() == 503);
  bob.close();
  REQUIRE(join(harness, "Eve", "three").refused() == 0);
  REQUIRE(ada.is_open());
}

TEST_CASE("settings that make no sense are refused") {
  REQUIRE_THROWS_AS(Harness({.settings = {{"history", "0"}}}), StartFailed);
  REQUIRE(appserver::testing::self_check({.settings = {{"max_line", "5000"}}}).has_value());
}

TEST_CASE("a second worker has rooms of its own, and warns of that") {
  const auto bus = std::make_shared<appserver::testing::SharedBus>();
  Harness first({.bus = bus});
  Harness second({.slot = 1, .bus = bus});
  Client ada = join(first, "Ada");
  Client bob = join(second, "Bob");
  ada.send("anybody?");
  first.run();
  second.run();
  REQUIRE(lines(bob) == Lines{"Bob came"});
  REQUIRE(first.logged().empty());
  REQUIRE(second.logged().find("warning: ") == 0);
  REQUIRE(second.logged().find("`count: 1`") != std::string::npos);
}

TEST_CASE("while members move in a reload each is told each line once") {
  Harness old;
  Harness next({.generation = 2});
  Client ada = join(old, "Ada");
  Client bob = join(old, "Bob");
  Client eve = join(old, "Eve");
  for (Client* each : {&ada, &bob, &eve}) static_cast<void>(lines(*each));
  ada.send("1");
  old.hand_over_to(next, ada);
  bob.send("2");
  ada.send("3");
  eve.send("4");
  old.hand_over_to(next, bob);
  bob.send("5");
  ada.send("6");
  old.hand_over_to(next, eve);
  old.stop();
  eve.send("7");

  REQUIRE(lines(ada) ==
          Lines{"Ada: 1", "Ada: 3", "Bob: 2", "Eve: 4", "Bob: 5", "Ada: 6", "Eve: 7"});
  REQUIRE(lines(bob) ==
          Lines{"Ada: 1", "Bob: 2", "Eve: 4", "Ada: 3", "Bob: 5", "Ada: 6", "Eve: 7"});
  REQUIRE(lines(eve) ==
          Lines{"Ada: 1", "Bob: 2", "Eve: 4", "Ada: 3", "Bob: 5", "Ada: 6", "Eve: 7"});
  Client late = join(next, "Late");
  REQUIRE(lines(late).size() == 11);
  REQUIRE(next.metric("chat_members") == 4);
}

TEST_CASE("members may move again and again") {
  Harness old;
  Client ada = join(old, "Ada");
  Harness next;
  for (int i = 0; i < 3; ++i) {
    old.hand_over_to(next);
    next.hand_over_to(old);
  }
  ada.send("still here");
  REQUIRE(lines(ada) == Lines{"Ada came", "Ada: still here"});
}

TEST_CASE("who does not read is cut off, and the others go on") {
  Harness harness({.settings = {{"lines_per_minute", "0"}}, .send_buffer = 2000});
  Client ada = join(harness, "Ada");
  Client slow = join(harness, "Slow");
  slow.stop_reading();
  for (int i = 0; i < 100; ++i) ada.send("and on and on and on");
  REQUIRE_FALSE(slow.is_open());
  REQUIRE(slow.was_reset());
  REQUIRE(lines(ada).size() == 103);
}
