#include "config/record.hpp"

#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <limits>
#include <stdexcept>

#include "support.hpp"

using namespace appserver::config;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

// No member has its default.
Group full_group() {
  Group group;
  group.name = "api";
  group.plugin = "/srv/plugins/odd \xff\".so";
  Listen tcp;
  tcp.host = "::1";
  tcp.port = 65535;
  tcp.text = "http://[::1]:65535";
  Listen local;
  local.scheme = "https";
  local.unix_path = "/run/api.sock";
  local.text = "https://unix:/run/api.sock";
  group.listen = {tcp, local};
  group.count = 1024;
  group.reloadable = false;
  group.settings = R"({"greeting": "h\u00e9",  "big": 18446744073709551615, "f": 1.50})";
  group.reload = {3,
                  5s,
                  250ms,
                  1min,
                  "/healthz?a=b",
                  2h,
                  3min,
                  Bytes{std::numeric_limits<std::uint64_t>::max()},
                  9s,
                  Canary{2, 45s, 7, Inconclusive::roll_back}};
  group.limits = {123,      Bytes{std::numeric_limits<std::uint64_t>::max()},
                  1234ms,   4321ms,
                  Bytes{7}, Bytes{8},
                  1s,       2s,
                  3s};
  group.recycle = {std::numeric_limits<std::uint64_t>::max(), Bytes{1u << 30}, 24h};
  group.tls = {{{"/etc/a.pem", "/etc/a.key"}, {"/etc/b.pem", "/etc/b.key"}},
               ClientCertificates::required,
               "/etc/ca.pem",
               TlsVersion::v1_3,
               "/etc/link.secret"};
  group.hang_timeout = 0s;
  group.user = "www-data";
  group.group = "adm";
  group.nice = -20;
  group.cpu_affinity = {0, 3, 5};
  group.rlimits = {
      {"nofile", {1024, std::numeric_limits<std::uint64_t>::max()}}, {"core", {0, {}}}, {"as", {}}};
  group.environment = {{"EMPTY", ""}, {"N\"AME", "value=1\n\xc3("}};
  group.working_directory = "/srv/a b";
  group.dropped = true;
  return group;
}

// There and back through text, as a file has it.
Group round_trip(const Group& group) {
  json::parse_options options;
  options.allow_invalid_utf8 = true;
  return group_from_json(json::parse(json::serialize(to_json(group)), {}, options));
}

// The record of the defaults with one member replaced, as JSON text.
json::value with(std::string_view key, std::string_view text) {
  json::value record = to_json(Group{});
  record.as_object()[key] = json::parse(json::string_view(text.data(), text.size()));
  return record;
}

}  // namespace

TEST_CASE("a record carries every member of a group there and back") {
  CHECK(round_trip(full_group()) == full_group());
  CHECK(round_trip(Group{}) == Group{});
}

TEST_CASE("each way to take an inconclusive canary survives its record") {
  for (const Inconclusive policy :
       {Inconclusive::proceed, Inconclusive::roll_back, Inconclusive::wait}) {
    Group group;
    group.reload.canary.on_inconclusive = policy;
    CHECK(round_trip(group) == group);
  }
}

TEST_CASE("a record says each member once, and as a configuration file calls it") {
  const json::value record = to_json(full_group());
  CHECK(record.as_object().size() == 19);
  CHECK(record.at("reload").at("canary").at("on_inconclusive") == "rollback");
  CHECK(record.at("reload").at("deadline") == 7'200'000);
}

TEST_CASE("a record of a group that was not dropped reads as one of an older version") {
  CHECK(to_json(Group{}).as_object().size() == 17);
  CHECK_FALSE(to_json(Group{}).as_object().contains("dropped"));
}

TEST_CASE("what an older record does not say has its default") {
  CHECK(group_from_json(json::parse("{}")) == Group{});
  const Group group =
      group_from_json(json::parse(R"({"name": "api", "reload": {"surge": 2, "canary": {}}})"));
  Group expected;
  expected.name = "api";
  expected.reload.surge = 2;
  CHECK(group == expected);
}

TEST_CASE("every key of a record that is missing alone keeps its default") {
  const json::object full = to_json(full_group()).as_object();
  const json::object defaults = to_json(Group{}).as_object();
  for (const auto& member : full) {
    INFO(std::string_view(member.key()));
    json::object without = full;
    without.erase(member.key());
    json::object expected = full;
    expected.erase(member.key());
    if (const auto* value = defaults.if_contains(member.key())) expected[member.key()] = *value;
    CHECK(group_from_json(without) == group_from_json(expected));
    CHECK_FALSE(group_from_json(without) == full_group());
  }
}

TEST_CASE("an unknown key is refused by its name and its place") {
  CHECK_THROWS_WITH(group_from_json(with("colour", "1")), "unknown key 'colour'");
  CHECK_THROWS_WITH(group_from_json(with("reload", R"({"canary": {"slot": 1}})")),
                    "reload: canary: unknown key 'slot'");
  CHECK_THROWS_WITH(group_from_json(with("listen", R"([{"port": 80, "path": ""}])")),
                    "listen: unknown key 'path'");
}

TEST_CASE("a value that does not fit is refused with its key") {
  using Catch::StartsWith;
  CHECK_THROWS_WITH(group_from_json(with("count", "-1")), StartsWith("count: "));
  CHECK_THROWS_WITH(group_from_json(with("count", "4294967296")), StartsWith("count: "));
  CHECK_THROWS_WITH(group_from_json(with("count", "1.5")), StartsWith("count: "));
  CHECK_THROWS_WITH(group_from_json(with("reloadable", "1")), StartsWith("reloadable: "));
  CHECK_THROWS_WITH(group_from_json(with("settings", "{}")), StartsWith("settings: "));
  CHECK_THROWS_WITH(group_from_json(with("hang_timeout", "-1")),
                    "hang_timeout: the duration -1 is negative");
  CHECK_THROWS_WITH(group_from_json(with("recycle", "[]")), StartsWith("recycle: "));
  CHECK_THROWS_WITH(group_from_json(with("rlimits", R"({"as": [1]})")),
                    "rlimits: a limit is a pair, soft and hard");
  CHECK_THROWS_WITH(group_from_json(with("listen", R"([{"port": 65536}])")),
                    StartsWith("listen: port: "));
  CHECK_THROWS_WITH(group_from_json(with("reload", R"({"canary": {"on_inconclusive": "go"}})")),
                    StartsWith("reload: canary: on_inconclusive: expected continue"));
  CHECK_THROWS_AS(group_from_json(json::parse("[]")), std::exception);
}
