#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "config/record.hpp"
#include "support.hpp"

using namespace appserver::config;
using Catch::Contains;

namespace {

const std::string kBusiness = "  chat: {kind: business, gateway: gate, plugin: chat}\n";

std::string gate(const std::string& more) {
  return "groups:\n  gate:\n    kind: gateway\n    listen: ws://*:80\n" + more + kBusiness;
}

// The only problem.
std::string problem_of(const std::string& text) {
  const Lines problems = problems_of(text);
  REQUIRE(problems.size() == 1);
  return problems[0];
}

}  // namespace

TEST_CASE("a gateway group stays in a reload, and needs no plugin") {
  const Config config = load_yaml(gate(""));
  REQUIRE(config.groups.size() == 2);
  const Group& group = config.groups[0];
  CHECK(group.kind == GroupKind::gateway);
  CHECK_FALSE(group.reloadable);
  CHECK(group.plugin.empty());
  CHECK(group.gateway == Gateway{});
  CHECK(config.groups[1].kind == GroupKind::business);
  CHECK(config.groups[1].of_gateway == "gate");
  CHECK(config.groups[1].reloadable);
  CHECK(load_yaml(gate("    reloadable: true\n")).groups[0].reloadable);
}

TEST_CASE("what a gateway says of delivery, parking and pings is read") {
  const Group group =
      load_yaml(gate("    delivery: at_most_once\n    park: {timeout: 5s, memory: 1MiB}\n"
                     "    limits: {ping_limit: 3, ping_data: 'are you there'}\n"))
          .groups[0];
  CHECK(group.gateway.delivery == Delivery::at_most_once);
  CHECK(group.gateway.park_timeout == milliseconds(5000));
  CHECK(group.gateway.park_memory == Bytes{1 << 20});
  CHECK(group.gateway.ping_limit == 3);
  CHECK(group.gateway.ping_data == "are you there");
}

TEST_CASE("who may push to a gateway's clients is a name or a list, and nobody by default") {
  using Users = std::vector<std::string>;
  CHECK(load_yaml(gate("")).groups[0].gateway.may_push.empty());
  CHECK(load_yaml(gate("    may_push: []\n")).groups[0].gateway.may_push.empty());
  CHECK(load_yaml(gate("    may_push: www-data\n")).groups[0].gateway.may_push ==
        Users{"www-data"});
  CHECK(load_yaml(gate("    may_push: [ann, bob]\n")).groups[0].gateway.may_push ==
        Users{"ann", "bob"});
  for (const std::string wrong : {"''", "-x", "{a: b}", "['']", "[[a]]", "'a b'"}) {
    CAPTURE(wrong);
    CHECK_THAT(problem_of(gate("    may_push: " + wrong + "\n")), Contains("groups.gate.may_push"));
  }
}

TEST_CASE("gateway and business groups are recorded and dumped as they are in force") {
  const Config config = load_yaml(
      gate("    delivery: at_most_once\n    limits: {ping_data: p}\n    may_push: [ann, 'no']\n"));
  for (const Group& group : config.groups) CHECK(group_from_json(to_json(group)) == group);
  const Config again = load_text(dump(config), "/srv/app.yaml", environment_of({}));
  CHECK(again.groups == config.groups);
}

TEST_CASE("what is wrong with a gateway is named, with the way out") {
  CHECK_THAT(problem_of("groups:\n  gate: {kind: gateway}\n"), Contains("add listen: ws://*:8080"));
  CHECK_THAT(problem_of(gate("    plugin: hello\n")),
             Contains("groups.gate.plugin: a gateway is built in; the plugin goes to a group with "
                      "`kind: business`"));
  CHECK_THAT(problem_of(gate("    settings: {a: 1}\n")), Contains("groups.gate.settings"));
  CHECK_THAT(problem_of(gate("    limits: {max_message: 17MiB}\n")), Contains("at most 16MiB"));
  CHECK_THAT(problem_of(gate("    delivery: exactly_once\n")),
             Contains("expected at_least_once or at_most_once"));
  CHECK_THAT(problem_of(gate("    park: {timeout: 0s}\n")), Contains("groups.gate.park.timeout"));
  for (const std::string address : {"http://*:81", "udp://*:81"}) {
    CHECK_THAT(
        problem_of("groups:\n  gate: {kind: gateway, listen: '" + address + "'}\n"),
        Contains("a gateway speaks ws, text, frame and tcp, also under TLS, and not " + address));
  }
}

TEST_CASE("a business group without a gateway, or with one that is none, is a mistake") {
  CHECK_THAT(problem_of("groups:\n  chat: {kind: business, plugin: chat}\n"),
             Contains("groups.chat: a business group serves the clients of a gateway; add gateway: "
                      "NAME"));
  CHECK_THAT(problem_of("groups:\n" + kBusiness),
             Contains("groups.chat.gateway: gate is no group; add it with `kind: gateway`"));
  CHECK_THAT(problem_of("groups:\n  gate: {plugin: hello}\n" + kBusiness),
             Contains("groups.chat.gateway: gate is a group without `kind: gateway`"));
}

TEST_CASE("keys of gateways elsewhere are a mistake") {
  CHECK_THAT(group_problems("    gateway: gate\n").at(0),
             Contains("only a group with `kind: business` has a gateway"));
  CHECK_THAT(group_problems("    delivery: at_most_once\n").at(0),
             Contains("only a group with `kind: gateway` has it"));
  CHECK(group_problems("    park: {}\n").size() == 1);
  CHECK(group_problems("    may_push: [ann]\n").size() == 1);
  CHECK(group_problems("    limits: {ping_limit: 1}\n").size() == 1);
  CHECK(group_problems("    limits: {ping_data: x}\n").size() == 1);
}
