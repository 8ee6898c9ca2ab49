#include "channel/boot.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>

using namespace appserver;
using namespace std::chrono_literals;
using channel::Boot;
using channel::Purpose;

namespace {

Boot full_boot() {
  Boot boot;
  boot.purpose = Purpose::preflight;
  boot.slot = 7;
  boot.has_state = true;
  boot.generation = std::numeric_limits<std::uint64_t>::max();
  boot.plugin_file = "/state/store/ab/hello \"x\".so";
  boot.build = std::string(64, 'a');
  boot.log_level = config::LogLevel::error;
  config::Group& group = boot.group;
  group.name = "api";
  group.plugin = "/srv/plugins/api.so";
  group.count = 4;
  group.reloadable = false;
  group.reload.probe = "/healthz";
  group.reload.canary.slots = 1;
  group.recycle.max_requests = 1'000'000;
  group.hang_timeout = 5s;
  config::Listen tcp;
  tcp.host = "::1";
  tcp.port = 65535;
  tcp.text = "http://[::1]:65535";
  config::Listen local;
  local.scheme = "https";
  local.unix_path = "/run/api.sock";
  local.text = "https://unix:/run/api.sock";
  group.listen = {tcp, local};
  group.settings = R"({"greeting": "h\u00e9", "deep": [[{}]]})";
  group.limits = {123, config::Bytes{std::numeric_limits<std::uint64_t>::max()}, 1234ms, 4321ms};
  group.reload.drain_timeout = 2345ms;
  group.user = "www-data";
  group.group = "adm";
  group.nice = -5;
  group.cpu_affinity = {0, 3, 5};
  group.rlimits = {{"nofile", {1024, 4096}}, {"core", {0, std::nullopt}}, {"as", {}}};
  group.environment = {{"EMPTY", ""}, {"NAME", "value=1\n\"two\""}};
  group.working_directory = "/srv/api";
  return boot;
}

void check_equal(const Boot& got, const Boot& wanted) {
  CHECK(got.purpose == wanted.purpose);
  CHECK(got.slot == wanted.slot);
  CHECK(got.has_state == wanted.has_state);
  CHECK(got.generation == wanted.generation);
  CHECK(got.plugin_file == wanted.plugin_file);
  CHECK(got.build == wanted.build);
  CHECK(got.log_level == wanted.log_level);
  CHECK(got.group == wanted.group);
}

// `record` with its first `from` replaced by `to`.
std::string with(std::string record, std::string_view from, std::string_view to) {
  const std::size_t at = record.find(from);
  REQUIRE(at != std::string::npos);
  return record.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a boot record carries every field there and back") {
  check_equal(channel::decode(channel::encode(full_boot())), full_boot());
  check_equal(channel::decode(channel::encode(Boot{})), Boot{});
}

TEST_CASE("a path and a value may be any bytes") {
  Boot boot = full_boot();
  boot.plugin_file = "/store/\xff\xfe.so";
  boot.group.environment["BYTES"] = "\xc3(";
  check_equal(channel::decode(channel::encode(boot)), boot);
}

TEST_CASE("a boot record of the largest settings fits") {
  Boot boot = full_boot();
  boot.group.settings = std::string(channel::kMaxBootRecord / 2, '"');
  check_equal(channel::decode(channel::encode(boot)), boot);
}

TEST_CASE("a record that encode would not have written is refused in words") {
  const std::string good = channel::encode(full_boot());
  std::string bad;
  SECTION("nothing") { bad = ""; }
  SECTION("no JSON") { bad = "boot"; }
  SECTION("another type") { bad = "[]"; }
  SECTION("a field is missing") { bad = with(good, R"("slot":7,)", ""); }
  SECTION("a field is of another type") { bad = with(good, R"("slot":7)", R"("slot":"7")"); }
  SECTION("a number is too large") { bad = with(good, R"("slot":7)", R"("slot":4294967296)"); }
  SECTION("a number is negative") { bad = with(good, R"("slot":7)", R"("slot":-1)"); }
  SECTION("a fraction") { bad = with(good, R"("slot":7)", R"("slot":7.5)"); }
  SECTION("an unknown purpose") { bad = with(good, R"("purpose":1)", R"("purpose":3)"); }
  SECTION("a negative purpose") { bad = with(good, R"("purpose":1)", R"("purpose":-1)"); }
  SECTION("an unknown log level") { bad = with(good, R"("log_level":3)", R"("log_level":4)"); }
  SECTION("a port is too large") { bad = with(good, R"("port":65535)", R"("port":65536)"); }
  SECTION("a limit without its second half") { bad = with(good, "[1024,4096]", "[1024]"); }
  SECTION("a limit with a third half") { bad = with(good, "[1024,4096]", "[1024,4096,1]"); }
  SECTION("an unknown field") { bad = with(good, R"("slot":7)", R"("slot":7,"color":"red")"); }
  SECTION("a field of the group is missing") { bad = with(good, R"("count":4,)", ""); }
  SECTION("an unknown field of the group") {
    bad = with(good, R"("count":4)", R"("count":4,"color":"red")");
  }
  SECTION("a field of the group twice") {
    bad = with(good, R"("count":4)", R"("count":4,"count":4)");
  }
  SECTION("a field twice") { bad = with(good, R"("slot":7)", R"("slot":7,"slot":7)"); }
  SECTION("something behind it") { bad = good + "x"; }
  SECTION("arrays without end") { bad = std::string(100'000, '['); }
  CHECK_THROWS_WITH(channel::decode(bad), Catch::StartsWith("a malformed boot record: "));
}

TEST_CASE("a record that was cut anywhere is refused") {
  const std::string good = channel::encode(full_boot());
  for (std::size_t size = 0; size < good.size(); ++size) {
    REQUIRE_THROWS_AS(channel::decode(std::string_view(good).substr(0, size)), std::runtime_error);
  }
}

TEST_CASE("a record with a damaged byte is refused or says what encode would write") {
  const std::string good = channel::encode(full_boot());
  const std::uint32_t seed = 20'261;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  int refused = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string bad = good;
    bad[random() % bad.size()] = static_cast<char>(random() % 256);
    std::optional<Boot> decoded;
    try {
      decoded = channel::decode(bad);
    } catch (const std::runtime_error&) {
      ++refused;
    }
    if (decoded) REQUIRE(channel::encode(*decoded) == bad);
  }
  CHECK(refused > 1'000);
}
