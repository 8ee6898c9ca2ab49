// What a rolling reload promises, request by request.
#include <signal.h>

#include <catch2/catch.hpp>
#include <set>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

void require_done(const Finished& finished) {
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

std::set<std::string> builds(const GroupStatus& group) {
  std::set<std::string> result;
  for (const auto& worker : group.workers) result.insert(worker.build);
  return result;
}

}  // namespace

TEST_CASE("a request in flight finishes on the old code while new ones get the new") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  Gate gate(site.root());
  Connection old_client(address);
  REQUIRE(old_client.send(gate.request(address)) == Outcome::ok);
  gate.wait_until_reached();

  site.install(probe_v2());
  Process reload({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  eventually(
      "a new connection is answered by the new code", 30s,
      [&] { return get(address, "/").body == "v2\n"; }, [&] { return daemon.log(); });
  for (int i = 0; i < 20; ++i) REQUIRE(get(address, "/").body == "v2\n");

  gate.open();
  REQUIRE(old_client.receive().body == "v1\n");
  const auto exit = reload.wait(30s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit == Exit{0, 0});
}

TEST_CASE("a connection whose request finished on the old code goes on with the new, uncut") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  Gate gate(site.root());
  Connection client(address);
  REQUIRE(client.send(gate.request(address)) == Outcome::ok);
  gate.wait_until_reached();

  site.install(probe_v2());
  Process reload({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  eventually(
      "a new connection is answered by the new code", 30s,
      [&] { return get(address, "/").body == "v2\n"; }, [&] { return daemon.log(); });
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  REQUIRE(reload.wait(30s) == Exit{0, 0});
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

TEST_CASE("after reload has returned, no new connection sees the old code") {
  Site site(probe_group(3));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  for (int round = 0; round < 6; ++round) {
    const bool second = round % 2 == 0;
    site.install(second ? probe_v2() : probe_v1());
    require_done(daemon.ctl({"reload"}));
    for (int i = 0; i < 60; ++i) {
      const auto response = get(address, "/");
      INFO("round " << round << ": " << response.text());
      REQUIRE(response.body == (second ? "v2\n" : "v1\n"));
    }
  }
}

TEST_CASE("a reload leaves each idle connection open and each address as it was") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  std::vector<std::unique_ptr<Connection>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Connection>(address));
    REQUIRE(clients.back()->get("/").body == "v1\n");
  }
  const auto old_pids = daemon.pids();

  site.install(probe_v2());
  require_done(daemon.ctl({"reload"}));

  REQUIRE(daemon.address().text() == address.text());
  for (auto& client : clients) {
    const auto response = client->get("/");
    INFO(response.text());
    REQUIRE(response.body == "v2\n");
    REQUIRE(client->connects() == 1);
  }
  for (const pid_t pid : daemon.pids()) {
    REQUIRE(std::find(old_pids.begin(), old_pids.end(), pid) == old_pids.end());
  }
}

TEST_CASE("SIGHUP reloads") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto before = builds(daemon.status().group("api"));
  site.install(probe_v2());
  daemon.process().signal(SIGHUP);
  daemon.wait_for_status("every worker runs the new build", [&](const Status& status) {
    const auto now = builds(status.group("api"));
    return status.all_ready() && now.size() == 1 && now != before;
  });
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}

TEST_CASE("two reloads at once both get a truthful answer") {
  Site site(probe_group(2));
  Daemon daemon(site);
  site.install(probe_v2());
  Process first({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  Process second({ctl_binary(), "reload", "--socket", site.control_socket().string()});
  const auto exits = {first.wait(60s), second.wait(60s)};
  INFO(first.out() << first.err() << second.out() << second.err());
  int done = 0;
  for (const auto& exit : exits) {
    REQUIRE(exit.has_value());
    constexpr int kAnotherRuns = 6;
    REQUIRE((exit->code == 0 || exit->code == kAnotherRuns));
    if (exit->code == 0) ++done;
  }
  REQUIRE(done >= 1);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/").body == "v2\n");
  REQUIRE(builds(daemon.status().group("api")).size() == 1);
}

TEST_CASE("a reload with a bad configuration changes nothing and names the place") {
  Site site(probe_group(2));
  Daemon daemon(site);
  daemon.expect_error("app.yaml");
  const auto pids = daemon.pids();
  Load load(daemon.address(), Mix::light());

  site.configure(probe_group(2, "    cuont: 4\n"));
  const auto refused = daemon.ctl({"reload"});
  INFO(refused.text());
  REQUIRE(refused.exit.code == 3);
  // Line 11 of the file: five lines of "daemon:", then the group.
  REQUIRE((refused.out + refused.err).find("app.yaml:11:5") != std::string::npos);
  REQUIRE((refused.out + refused.err).find("cuont") != std::string::npos);
  load.wait_for_more(20);
  REQUIRE(daemon.pids() == pids);

  site.configure(probe_group(2));
  require_done(daemon.ctl({"reload"}));
  REQUIRE(daemon.pids() != pids);
  const auto totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
}

TEST_CASE("a reload of named groups rolls those only") {
  Site site(
      "groups:\n"
      "  one: {plugin: probe, listen: http://127.0.0.1:0, count: 1}\n"
      "  two: {plugin: probe, listen: http://127.0.0.1:0, count: 1}\n");
  Daemon daemon(site);
  const auto one = daemon.pids("one");
  const auto two = daemon.pids("two");
  site.install(probe_v2());
  require_done(daemon.ctl({"reload", "two"}));
  REQUIRE(daemon.pids("one") == one);
  REQUIRE(daemon.pids("two") != two);
  REQUIRE(get(daemon.address("one"), "/").body == "v1\n");
  REQUIRE(get(daemon.address("two"), "/").body == "v2\n");
}

TEST_CASE("a reload of a group that does not exist names it and changes nothing") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const auto pids = daemon.pids();
  daemon.expect_error("nosuch");
  const auto finished = daemon.ctl({"reload", "nosuch"});
  INFO(finished.text());
  REQUIRE(finished.exit.code != 0);
  REQUIRE((finished.out + finished.err).find("nosuch") != std::string::npos);
  REQUIRE(daemon.pids() == pids);
}

TEST_CASE("a reload that outlasts --timeout says so and goes on") {
  Site site(probe_group(1));
  Daemon daemon(site);
  const Endpoint address = daemon.address();
  Gate gate(site.root());
  Connection client(address);
  REQUIRE(client.send(gate.request(address)) == Outcome::ok);
  gate.wait_until_reached();
  site.install(probe_v2());
  const auto finished = daemon.ctl({"reload", "--timeout", "1s"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 7);
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  daemon.wait_for_status("the reload has ended",
                         [](const Status& status) { return status.all_ready(); });
  REQUIRE(get(address, "/").body == "v2\n");
}

TEST_CASE("settings reach the successors of a reload") {
  Site site(probe_group(1, "    settings: {greeting: hi}\n"));
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/setting?name=greeting").body == "hi\n");
  site.configure(probe_group(1, "    settings: {greeting: servus}\n"));
  require_done(daemon.ctl({"reload"}));
  REQUIRE(get(daemon.address(), "/setting?name=greeting").body == "servus\n");
}
