#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "fake_host.hpp"

namespace {

appserver::Settings settings_of(fake::Host& host) { return {&host.table(), host.worker()}; }

}  // namespace

TEST_CASE("a setting comes in the type of its default") {
  fake::Host host(fake::Settings{{"greeting", "hi"},
                                 {"port", "8080"},
                                 {"ratio", "0.25"},
                                 {"on", "true"},
                                 {"off", "No"},
                                 {"minus", "-3"}});
  const auto settings = settings_of(host);
  const std::string text = settings.get("greeting", "hello");
  REQUIRE(text == "hi");
  REQUIRE(settings.get("port", 1) == 8080);
  REQUIRE(settings.get("port", std::uint16_t{1}) == 8080);
  REQUIRE(settings.get("ratio", 1.0) == 0.25);
  REQUIRE(settings.get("port", 1.0) == 8080.0);
  REQUIRE(settings.get("on", false));
  REQUIRE_FALSE(settings.get("off", true));
  REQUIRE(settings.get("minus", 0LL) == -3);
  REQUIRE(settings.require("greeting") == "hi");
  REQUIRE(settings.require<unsigned>("port") == 8080);
}

TEST_CASE("a setting that is not there gives the default, or throws where it is required") {
  fake::Host host(fake::Settings{{"empty", ""}});
  const auto settings = settings_of(host);
  REQUIRE(settings.get("greeting", "hello") == "hello");
  REQUIRE(settings.get("greeting", std::string("hello")) == "hello");
  REQUIRE(settings.get("port", 7) == 7);
  REQUIRE(settings.has("empty"));
  REQUIRE(settings.get("empty", "hello").empty());
  REQUIRE_FALSE(settings.has("greeting"));
  REQUIRE_THROWS_AS(settings.require<int>("db.port"), std::invalid_argument);
  REQUIRE_THROWS_WITH(settings.require<int>("db.port"),
                      "setting \"db.port\" is missing; add it under `settings:`");
}

TEST_CASE("text that does not convert names the setting, the text and what was expected") {
  fake::Host host(fake::Settings{{"port", "80a"},
                                 {"small", "256"},
                                 {"signed", "-1"},
                                 {"flag", "1"},
                                 {"nan", "nan"},
                                 {"empty", ""},
                                 {"space", " 5"},
                                 {"plusminus", "+-5"},
                                 {"huge", "1e999"}});
  const auto settings = settings_of(host);
  REQUIRE_THROWS_WITH(settings.get("port", std::int16_t{1}),
                      "setting \"port\" is \"80a\", expected a whole number from -32768 to 32767");
  REQUIRE_THROWS_WITH(settings.get("small", std::uint8_t{1}),
                      "setting \"small\" is \"256\", expected a whole number from 0 to 255");
  REQUIRE_THROWS_WITH(settings.get("flag", false),
                      "setting \"flag\" is \"1\", expected true or false");
  REQUIRE_THROWS_WITH(settings.get("nan", 1.0), "setting \"nan\" is \"nan\", expected a number");
  REQUIRE_THROWS_AS(settings.get("signed", 1U), std::invalid_argument);
  REQUIRE_THROWS_AS(settings.get("empty", 1), std::invalid_argument);
  REQUIRE_THROWS_AS(settings.get("space", 1), std::invalid_argument);
  REQUIRE_THROWS_AS(settings.get("plusminus", 1), std::invalid_argument);
  REQUIRE_THROWS_AS(settings.get("huge", 1.0), std::invalid_argument);
}

TEST_CASE("maps and lists come as JSON, all settings under the empty path") {
  fake::Host host(fake::Settings{
      {"", R"({"db":{"hosts":["a"]}})"}, {"db.hosts", R"(["a"])"}, {"db.hosts.0", "a"}});
  const auto settings = settings_of(host);
  REQUIRE(settings.json() == R"({"db":{"hosts":["a"]}})");
  REQUIRE(settings.json("db.hosts") == R"(["a"])");
  REQUIRE(settings.json("nothing") == "null");
  REQUIRE(settings.get("db.hosts.0", "b") == "a");
}
