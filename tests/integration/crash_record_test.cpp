// What is kept of a worker that ended without having been told to.
#include <signal.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "support/answers.hpp"
#include "support/census.hpp"
#include "support/http_client.hpp"
#include "support/sanitized.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int kFailed = 1;
constexpr int kRolledBack = 4;
constexpr std::size_t kKept = 100;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct CrashSite : Site {
  explicit CrashSite(std::string_view more = {}) : Site(probe_group(1, more)) { install(faults()); }
};

void expect_crash(Daemon& daemon) {
  for (const char* text : {"ended: ", "  at ", "crash record", "event loop has not turned"})
    daemon.expect_error(text);
}

// What is recorded of the daemon's one worker when it dies of a request.
json::object crash_by(Daemon& daemon, const std::string& target) {
  expect_crash(daemon);
  const auto recorded = crashes_of(daemon).size();
  const auto status =
      daemon.wait_for_status("it is ready", [](const auto& now) { return now.all_ready(); });
  const auto& worker = status.group("api").workers.at(0);
  Connection client(daemon.address());
  REQUIRE(client.get("/say?text=prices+are+read").ok());
  const auto answer = client.get(target);
  REQUIRE(answer.outcome != Outcome::ok);
  auto crash = wait_for_crash(daemon, recorded + 1);
  INFO(crash);
  REQUIRE(text_of(crash, "group") == "api");
  REQUIRE(crash.at("slot").to_number<int>() == 0);
  REQUIRE(crash.at("pid").to_number<pid_t>() == worker.pid);
  REQUIRE(crash.at("generation").to_number<std::int64_t>() == worker.generation);
  REQUIRE(crash.at("release").to_number<std::int64_t>() == release_in(status));
  REQUIRE(text_of(crash, "plugin") == "faults 1.0.0");
  REQUIRE(text_of(crash, "sha256").starts_with(worker.build));
  REQUIRE(text_of(crash, "build_id").size() == 40);
  REQUIRE(text_of(crash, "hook") == "on_request");
  REQUIRE(contains(lines_of(crash, "output"), "prices are read"));
  return crash;
}

void require_in_stack(const json::object& crash, const std::string& function) {
  if (kSanitized) return;
  INFO(crash);
  REQUIRE(contains(lines_of(crash, "stack"), "faults.so+0x"));
  REQUIRE(contains(lines_of(crash, "stack"), function));
}

}  // namespace

TEST_CASE("the record of a SIGSEGV names the function, the address and the build") {
  CrashSite site;
  Daemon daemon(site);
  const auto crash = crash_by(daemon, "/segv");
  REQUIRE(text_of(crash, "signal") == "SIGSEGV");
  REQUIRE(contains(text_of(crash, "reason"), "SIGSEGV in on_request"));
  require_in_stack(crash, "faults::write_nowhere()");
  if (!kSanitized) {
    REQUIRE(text_of(crash, "address") == "0x10");
    daemon.wait_for_log("faults::write_nowhere()");
  }
  daemon.wait_for_log("appserverctl crashes show 1");

  const auto list = daemon.ctl({"crashes"});
  INFO(list.text());
  REQUIRE(contains(list.out, "SIGSEGV in on_request"));
  const auto shown = daemon.ctl({"crashes", "show", "1"});
  INFO(shown.text());
  REQUIRE(contains(shown.out, "crash 1 of api/0"));
  REQUIRE(contains(shown.out, "prices are read"));
  if (!kSanitized) REQUIRE(contains(shown.out, "faults::write_nowhere()"));
}

TEST_CASE("the record of an abort has the plugin's last words") {
  CrashSite site;
  Daemon daemon(site);
  const auto crash = crash_by(daemon, "/abort");
  REQUIRE(text_of(crash, "signal") == "SIGABRT");
  REQUIRE(contains(lines_of(crash, "output"), "fatal: the price list is empty"));
  require_in_stack(crash, "faults::abort_with_words()");
}

TEST_CASE("the record of an exit() says that there was no signal") {
  CrashSite site;
  Daemon daemon(site);
  const auto crash = crash_by(daemon, "/exit");
  REQUIRE(text_of(crash, "signal").empty());
  REQUIRE(contains(text_of(crash, "reason"), "exit"));
  REQUIRE(crash.at("stack").as_array().empty());
}

TEST_CASE("the record of a hang says where the loop stood") {
  CrashSite site("    hang_timeout: 1s\n");
  Daemon daemon(site);
  const auto crash = crash_by(daemon, "/spin");
  REQUIRE(text_of(crash, "signal") == "SIGABRT");
  REQUIRE(contains(text_of(crash, "reason"), "hang"));
  require_in_stack(crash, "faults::spin_for_ever()");
}

TEST_CASE("the record of a hang at start says where it stood, and the rollout why it went back") {
  Site site(probe_group(1, "    reload: {start_timeout: 2s}\n"));
  Daemon daemon(site);
  expect_crash(daemon);
  daemon.expect_error("rollout");
  daemon.expect_error("successor failed");
  const auto pids = daemon.pids();
  site.install(fixture("hangs_at_start"));
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == kRolledBack);
  REQUIRE(contains(refused.out + refused.err, "not ready within start_timeout (2000 ms)"));
  REQUIRE(daemon.pids() == pids);
  const auto crash = wait_for_crash(daemon);
  INFO(crash);
  REQUIRE(text_of(crash, "signal") == "SIGABRT");
  REQUIRE(text_of(crash, "hook") == "on_worker_start");
  REQUIRE(contains(text_of(crash, "reason"), "hang (not ready within start_timeout)"));
  REQUIRE(text_of(crash, "plugin") == "hangs_at_start 1.0.0");
  if (kSanitized) return;
  REQUIRE(contains(lines_of(crash, "stack"), "hangs_at_start.so+0x"));
  daemon.wait_for_log("  at hangs_at_start.so+0x");
}

TEST_CASE("the record of a SIGKILL from outside has neither a stack nor a hook") {
  CrashSite site;
  Daemon daemon(site);
  expect_crash(daemon);
  REQUIRE(::kill(daemon.pids().at(0), SIGKILL) == 0);
  const auto crash = wait_for_crash(daemon);
  INFO(crash);
  REQUIRE(text_of(crash, "signal") == "SIGKILL");
  REQUIRE(text_of(crash, "hook").empty());
  REQUIRE(crash.at("stack").as_array().empty());
}

TEST_CASE("a worker that ends because it was told to leaves no record") {
  CrashSite site;
  Daemon daemon(site);
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  REQUIRE(daemon.ctl({"drain", "api/0"}).exit.code == 0);
  REQUIRE(daemon.ctl({"scale", "api", "3"}).exit.code == 0);
  REQUIRE(daemon.ctl({"scale", "api", "1"}).exit.code == 0);
  REQUIRE(crashes_of(daemon).empty());
  REQUIRE(contains(daemon.ctl({"crashes"}).out, "no crash is on record"));
  const auto none = daemon.ctl({"crashes", "show"});
  INFO(none.text());
  REQUIRE(none.exit.code == kFailed);
  REQUIRE(daemon.ctl({"crashes", "show", "7"}).exit.code == kFailed);
}

TEST_CASE("crash records are numbered, newest first, and survive a restart of the daemon") {
  CrashSite site;
  std::string before;
  {
    Daemon daemon(site);
    crash_by(daemon, "/segv");
    const auto second = crash_by(daemon, "/exit");
    REQUIRE(second.at("number").to_number<int>() == 2);
    before = daemon.ctl({"crashes", "--json"}).out;
  }
  Daemon daemon(site);
  REQUIRE(daemon.ctl({"crashes", "--json"}).out == before);
  const auto first = answer_of(daemon, {"crashes", "show", "1"});
  REQUIRE(text_of(first, "signal") == "SIGSEGV");
  require_in_stack(first, "faults::write_nowhere()");
  REQUIRE(crash_by(daemon, "/abort").at("number").to_number<int>() == 3);
}

TEST_CASE("crash records are bounded, and a damaged one is named and harms nothing") {
  CrashSite site;
  {
    Daemon daemon(site);
    crash_by(daemon, "/segv");
  }
  const fs::path folder = site.state_dir() / "crashes";
  auto record = json::parse(read_whole(folder / "1.json")).as_object();
  for (std::size_t number = 2; number <= kKept + 20; ++number) {
    record["crash"].as_object()["number"] = number;
    write_file(folder / (std::to_string(number) + ".json"), json::serialize(record));
  }
  write_file(folder / "300.json", "{\"crash\": {");
  Daemon daemon(site);
  REQUIRE(contains(daemon.log(), "300.json"));
  REQUIRE(crashes_of(daemon).size() == kKept);
  expect_crash(daemon);
  REQUIRE(::kill(daemon.pids().at(0), SIGKILL) == 0);
  eventually("the crash is recorded", 20s, [&] {
    return crashes_of(daemon).front().at("number").to_number<std::size_t>() > 300;
  });
  REQUIRE(crashes_of(daemon).size() == kKept);
  REQUIRE(files_under(folder) <= kKept + 1);
}

TEST_CASE("a worker that crashes as the daemon stops is on record") {
  CrashSite site;
  {
    Daemon daemon(site);
    expect_crash(daemon);
    const pid_t worker = daemon.pids().at(0);
    REQUIRE(::kill(worker, SIGSTOP) == 0);
    daemon.process().signal(SIGTERM);
    daemon.wait_for_log("graceful stop");
    REQUIRE(::kill(worker, SIGSEGV) == 0);
    REQUIRE(::kill(worker, SIGCONT) == 0);
    daemon.has_ended(Exit{0, 0});
    REQUIRE(contains(daemon.log(), "crash record 1"));
  }
  Daemon daemon(site);
  const auto crash = answer_of(daemon, {"crashes", "show", "1"});
  REQUIRE(text_of(crash, "signal") == "SIGSEGV");
}
