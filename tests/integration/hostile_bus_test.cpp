// One plugin that misuses the bus however it can: what others then still have of it.
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "support/bus.hpp"
#include "support/census.hpp"
#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/sanitized.hpp"

using namespace appserver::integration;

namespace {

constexpr std::uint64_t kMemory = 8u << 20;

// The groups "api", whose plugin uses the bus as it should, and "rude".
struct HostileSite : Site {
  HostileSite() : Site("groups: {}\n") {
    for (const char* name : {"bus", "bus_abuse"}) {
      install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / (std::string(name) + ".so"), name);
    }
    configure(
        "  bus: {memory: 8MiB}\n"
        "groups:\n"
        "  api: {plugin: bus, count: 2, listen: 'http://127.0.0.1:0'}\n"
        "  rude: {plugin: bus_abuse, count: 1, listen: 'http://127.0.0.1:0'}\n");
  }
};

struct Hostile {
  HostileSite site;
  Daemon daemon{site};
  pid_t bus = 0;
  pid_t rude = 0;
  std::uint64_t resident_before = 0;

  Hostile() {
    REQUIRE(get(daemon.address("api"), "/set/first").ok());
    bus = bus_of(daemon);
    rude = daemon.pids("rude").front();
    resident_before = census_of(bus).resident_bytes;
  }

  void begin(const std::string& what) {
    REQUIRE(get(daemon.address("rude"), "/begin?what=" + what).ok());
  }
  // How often the host has said this to it.
  std::uint64_t said(const std::string& result) {
    const Response response = get(daemon.address("rude"), "/");
    INFO(response.text());
    REQUIRE(response.ok());
    const auto at = response.body.find(result + " ");
    REQUIRE(at != std::string::npos);
    return std::stoull(response.body.substr(at + result.size() + 1));
  }
  // Until it goes no further, and some time more.
  void wait_until_said(const std::string& result) {
    eventually("the host says \"" + result + "\" again and again", 20s,
               [&] { return said(result) > 100; });
  }
  // As the log has it.
  std::string name() const { return "rude/0, pid " + std::to_string(rude); }

  std::uint64_t counted_memory() {
    const auto json = boost::json::parse(daemon.status().text);
    return json.at("bus").at("memory_bytes").to_number<std::uint64_t>();
  }
  void check_memory() {
    CHECK(counted_memory() <= kMemory);
    if (kSanitized) return;
    // What the allocator holds back, and what waits in a packet that is read.
    constexpr std::uint64_t kSlack = 4u << 20;
    CHECK(census_of(bus).resident_bytes <= resident_before + kMemory + kSlack);
  }
  // Each asking is answered by the bus in time, with what is right.
  void check_keys_of_others() {
    const std::string before = get(daemon.address("api"), "/count").body;
    const int count = before == "(none)" ? 0 : std::stoi(before);
    for (int i = 1; i <= 50; ++i) {
      const std::string value = "v" + std::to_string(i);
      REQUIRE(get(daemon.address("api"), "/set/" + value).body == "set");
      REQUIRE(get(daemon.address("api"), "/get").body == value);
      REQUIRE(get(daemon.address("api"), "/keep/" + value).body == "set");
      REQUIRE(get(daemon.address("api"), "/add").body == std::to_string(count + i));
    }
  }
  // Each message reaches both workers.
  void check_messages_of_others() {
    for (int i = 0; i < 20; ++i) {
      const std::string text = "m" + std::to_string(i) + ".";
      REQUIRE(get(daemon.address("api"), "/publish/" + text).ok());
    }
    std::set<std::string> heard;
    const bool all = becomes_true(
        [&] {
          const std::string seen = get(daemon.address("api"), "/seen").body;
          if (seen.find("[m0.]") == std::string::npos || seen.find("[m19.]") == std::string::npos)
            return false;
          CHECK(seen.find(" resets 0 lost 0 ") != std::string::npos);
          heard.insert(seen.substr(0, seen.find(' ')));
          return heard.size() == 2;
        },
        20s);
    CHECK(all);
  }
  void check_nobody_ended() {
    CHECK(bus_of(daemon) == bus);
    CHECK(daemon.pids("rude").front() == rude);
    CHECK(daemon.status().text.find("\"restarts\":1") == std::string::npos);
  }
};

}  // namespace

TEST_CASE_METHOD(Hostile, "who floods its own topics stops no message of others") {
  begin("publish");
  wait_until_said("limit");
  check_messages_of_others();
  check_keys_of_others();
  check_memory();
  check_nobody_ended();
}

TEST_CASE_METHOD(Hostile,
                 "who floods the topic of others stops no key, and is named for the loss") {
  begin("news");
  wait_until_said("limit");
  daemon.wait_for_log(", published by " + name() + ": ", 30s);
  check_keys_of_others();
  check_memory();
  check_nobody_ended();
  CHECK(daemon.log().find("messages of topic \"news\" for api/") != std::string::npos);
}

TEST_CASE_METHOD(Hostile, "who fills all keys leaves room to others, and is named for it") {
  begin("set");
  wait_until_said("limit");
  daemon.wait_for_log("changes of keys by " + name() + ": ", 30s);
  CHECK(daemon.log().find("those of group rude the most") != std::string::npos);
  CHECK(counted_memory() > kMemory / 2);
  check_keys_of_others();
  check_messages_of_others();
  check_memory();
  check_nobody_ended();
}

TEST_CASE_METHOD(Hostile, "who subscribes without end and unsubscribes twice harms nobody") {
  begin("subscribe");
  wait_until_said("limit");
  CHECK(said("not_found") > 0);
  check_messages_of_others();
  check_keys_of_others();
  check_memory();
  check_nobody_ended();
}

TEST_CASE_METHOD(Hostile, "who calls the bus in every wrong way is told so each time") {
  begin("wrong");
  wait_until_said("invalid");
  CHECK(said("not_found") > 0);
  check_messages_of_others();
  check_keys_of_others();
  check_nobody_ended();
}

TEST_CASE_METHOD(Hostile, "who sends the bus nonsense is cut off and named, and nobody else is") {
  begin("publish");
  wait_until_said("limit");
  begin("nonsense");
  daemon.wait_for_log("closed the connection of " + name() + ": it sent what is no message", 30s);
  check_messages_of_others();
  check_keys_of_others();
  check_memory();
  check_nobody_ended();
  // Where it does better it is connected anew.
  begin("publish");
  const auto before = said("ok");
  eventually("it floods again", 20s, [&] { return said("ok") > before + 100; });
}
