#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using appserver::testing::Harness;
using appserver::testing::Protocol;

TEST_CASE("echo sends back what it gets, over each protocol") {
  Harness harness({.settings = {{"prefix", "> "}}});
  REQUIRE(harness.post("/", "body").body() == "> body");
  const auto protocol =
      GENERATE(Protocol::kWebSocket, Protocol::kText, Protocol::kFrame, Protocol::kTcp);
  auto client = harness.connect(protocol);
  client.send("one");
  REQUIRE(client.receive() == "> one");
  client.send_binary("two");
  REQUIRE(client.receive() == "> two");
  client.send("count");
  REQUIRE(client.receive() == "3");
}

TEST_CASE("echo's connections outlive a reload, with their count") {
  Harness old;
  auto client = old.websocket();
  client.send("one");
  client.send("count");
  REQUIRE(client.receive_all().back().bytes == "2");
  Harness next({.generation = 2});
  old.hand_over_to(next);
  REQUIRE(old.connections() == 0);
  old.stop();
  client.send("count");
  REQUIRE(client.receive() == "3");
  client.close();
  REQUIRE(next.connections() == 0);
}

TEST_CASE("echo answers each datagram to the one that sent it") {
  Harness harness({.settings = {{"prefix", "> "}}});
  REQUIRE(harness.datagram("one", "192.0.2.1:1") == std::vector<std::string>{"> one"});
  REQUIRE(harness.datagram("", "[2001:db8::1]:2") == std::vector<std::string>{"> "});
  REQUIRE(harness.datagrams_to("192.0.2.1:1").empty());
}
