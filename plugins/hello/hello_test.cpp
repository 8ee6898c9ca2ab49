#include <appserver/testing.hpp>
#include <catch2/catch.hpp>

using appserver::testing::Harness;

TEST_CASE("hello greets whoever asks, as its settings say") {
  Harness harness;
  REQUIRE(harness.get("/").body() == "hello, world\n");
  REQUIRE(harness.get("/?name=Ada+B").body() == "hello, Ada B\n");
  Harness other({.settings = appserver::testing::settings_from_json(R"({"greeting": "hi"})")});
  REQUIRE(other.get("/?name=Eve").body() == "hi, Eve\n");
}

TEST_CASE("hello says that it is well") {
  Harness harness;
  const auto reply = harness.get("/healthz");
  REQUIRE(reply.status() == 200);
  REQUIRE(reply.body() == "ok\n");
}
