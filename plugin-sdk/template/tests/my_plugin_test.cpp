// What my_plugin promises, tried without a daemon. The plugin's source is linked in.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

#include <appserver/testing.hpp>

using appserver::testing::Harness;

TEST_CASE("it greets whoever asks") {
  Harness harness;
  REQUIRE(harness.get("/").body() == "hello, world\n");
  REQUIRE(harness.get("/?name=Ada").body() == "hello, Ada\n");
  REQUIRE(harness.metric("greetings") == 2);
}

TEST_CASE("the greeting is a setting") {
  Harness harness({.settings = {{"greeting", "hi"}}});
  REQUIRE(harness.get("/").body() == "hi, world\n");
}

TEST_CASE("a build with an empty greeting is refused before it serves") {
  REQUIRE(appserver::testing::self_check({.settings = {{"greeting", ""}}}).has_value());
  REQUIRE_FALSE(appserver::testing::self_check().has_value());
}
