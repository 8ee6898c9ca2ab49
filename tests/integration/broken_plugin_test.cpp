// A build that cannot serve: the reload says why, nobody else notices, and a good build goes in
// afterwards.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr int kRefused = 3;     // before anything was started
constexpr int kRolledBack = 4;  // after a successor had been started

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool names_one_of(const std::string& text, const std::vector<std::string>& reasons) {
  return std::any_of(reasons.begin(), reasons.end(), [&](const auto& reason) {
    return lower(text).find(lower(reason)) != std::string::npos;
  });
}

// Writes a broken plugin into the site, reloads, and asks for the exit code and for one of the
// reasons in the output.
void check_broken(const std::string& content, int exit_code,
                  const std::vector<std::string>& reasons) {
  Site site(probe_group(2, "    reload: {start_timeout: 2s}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  daemon.expect_error("ended: ");
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());
  load.wait_for_more(10);

  write_file(site.plugin(), content);
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == exit_code);
  REQUIRE(names_one_of(refused.out + refused.err, reasons));
  REQUIRE((refused.out + refused.err).find("api") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
  load.wait_for_more(20);
  REQUIRE(get(daemon.address(), "/").body == "v1\n");

  site.install(probe_v2());
  const auto fixed = daemon.ctl({"reload"});
  INFO(fixed.text());
  REQUIRE(fixed.exit.code == 0);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
}

void check_fixture(const std::string& name, int exit_code,
                   const std::vector<std::string>& reasons) {
  check_broken(read_whole(fixture(name)), exit_code, reasons);
}

}  // namespace

TEST_CASE("a file that is not ELF is refused") {
  check_broken("#!/bin/sh\necho I am no plugin\n", kRefused, {"ELF"});
}

TEST_CASE("an empty file is refused") { check_broken("", kRefused, {"empty", "cut short", "ELF"}); }

TEST_CASE("a truncated plugin is refused, wherever it is cut") {
  const std::string whole = read_whole(probe_v2());
  const auto part = GENERATE(0.1, 0.5, 0.999);
  const auto size = static_cast<std::size_t>(static_cast<double>(whole.size()) * part);
  check_broken(whole.substr(0, size), kRefused, {"cut short"});
}

TEST_CASE("a shared object that is no plugin is refused") {
  check_fixture("no_note", kRefused, {"note"});
}

TEST_CASE("a plugin for another major ABI is refused") {
  check_fixture("wrong_abi_major", kRefused, {"ABI"});
}

TEST_CASE("a plugin for a newer ABI than the daemon's is refused") {
  check_fixture("newer_abi_minor", kRefused, {"ABI"});
}

TEST_CASE("a plugin without the entry symbol is refused") {
  check_fixture("no_symbol", kRefused, {"appserver_plugin_v1"});
}

TEST_CASE("a plugin with an unresolved symbol is refused, with its name") {
  check_fixture("undefined_symbol", kRefused, {"undefined symbol"});
}

TEST_CASE("a plugin that throws in a static constructor is refused") {
  check_fixture("throws_in_static_init", kRefused, {"SIGABRT", "terminate", "threw", "exception"});
}

TEST_CASE("a plugin that crashes in a static constructor is refused") {
  check_fixture("crashes_in_static_init", kRefused, {"SIGSEGV"});
}

TEST_CASE("a plugin that reports an error at start is rolled back, with the error") {
  check_fixture("fails_at_start", kRolledBack, {"start"});
}

TEST_CASE("a plugin that hangs at start is rolled back when start_timeout is over") {
  check_fixture("hangs_at_start", kRolledBack,
                {"start_timeout", "not ready", "in time", "timed out"});
}

TEST_CASE("a plugin that exits at start is rolled back, even with status 0") {
  check_fixture("exits_at_start", kRolledBack, {"exit"});
}

TEST_CASE("a plugin that crashes at start is rolled back") {
  check_fixture("crashes_at_start", kRolledBack, {"SIGSEGV", "SIGABRT"});
}

TEST_CASE("a plugin file that is gone refuses the reload, with its path") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto pids = daemon.pids();
  fs::remove(site.plugin());
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == kRefused);
  REQUIRE((refused.out + refused.err).find(site.plugin().string()) != std::string::npos);
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("one broken group keeps the reload from starting the others") {
  Site site(
      "groups:\n"
      "  good: {plugin: probe, listen: http://127.0.0.1:0, count: 1}\n"
      "  bad: {plugin: other, listen: http://127.0.0.1:0, count: 1}\n");
  site.install(probe_v1(), "other");
  Daemon daemon(site);
  daemon.expect_error("rollout");
  const auto good = daemon.pids("good");
  const auto bad = daemon.pids("bad");
  site.install(probe_v2());
  write_file(site.plugin("other"), "broken");
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == kRefused);
  REQUIRE(daemon.pids("good") == good);
  REQUIRE(daemon.pids("bad") == bad);
  REQUIRE(get(daemon.address("good"), "/").body == "v1\n");
}
