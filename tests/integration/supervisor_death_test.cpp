// kill -9 of the supervisor: nothing is left that would keep the next one from starting.
#include <signal.h>

#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

std::string on_port(std::uint16_t port) {
  return "groups:\n  api:\n    plugin: probe\n    count: 2\n    listen: ['http://127.0.0.1:" +
         std::to_string(port) + "', 'http://unix:run/api.sock']\n";
}

}  // namespace

TEST_CASE("kill -9 of the supervisor leaves no worker and no held port") {
  Site site(probe_group(3));
  Daemon daemon(site);
  Connection idle(daemon.address());
  REQUIRE(idle.get("/").ok());
  daemon.kill();
}

TEST_CASE("workers that lost their supervisor finish the request in flight") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Gate gate(site.root());
  Connection client(daemon.address());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  daemon.process().signal(SIGKILL);
  REQUIRE(daemon.process().wait(10s).has_value());
  gate.open();
  const auto response = client.receive();
  INFO(response.text());
  REQUIRE(response.body == "v1\n");
  daemon.has_ended(Exit{-1, SIGKILL});
}

TEST_CASE(
    "after kill -9 of the supervisor a new one starts at once on the same addresses and socket") {
  Site site(on_port(0));
  std::uint16_t port = 0;
  {
    Daemon first(site);
    port = first.address().port;
  }
  site.configure(on_port(port));
  Daemon killed(site);
  killed.process().signal(SIGKILL);
  REQUIRE(killed.process().wait(10s).has_value());

  Daemon next(site);
  const Status status = next.status();
  for (const auto& endpoint : status.group("api").listen) {
    for (int i = 0; i < 10; ++i) {
      const auto response = get(endpoint, "/");
      INFO(endpoint.text() << ": " << response.text());
      REQUIRE(response.body == "v1\n");
    }
  }
  REQUIRE(next.address().port == port);
  next.stop();
  killed.has_ended(Exit{-1, SIGKILL});
}

TEST_CASE(
    "kill -9 of the supervisor within a reload leaves nothing, and the next start runs the release "
    "before") {
  Site site(probe_group(2));
  {
    Daemon daemon(site);
    Gate gate(site.root());
    Connection client(daemon.address());
    REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
    gate.wait_until_reached();
    site.install(probe_v2());
    Process reload({ctl_binary(), "reload", "--socket", site.control_socket().string()});
    daemon.wait_for_status("the reload runs",
                           [](const Status& status) { return status.group("api").reloading; });
    daemon.process().signal(SIGKILL);
    const auto exit = reload.wait(20s);
    INFO(reload.out() << reload.err());
    REQUIRE(exit.has_value());
    REQUIRE(exit->code != 0);
    gate.open();
    daemon.has_ended(Exit{-1, SIGKILL});
  }
  Daemon next(site);
  for (int i = 0; i < 10; ++i) REQUIRE(get(next.address(), "/").body == "v1\n");
  const auto notes = next.status().notes;
  REQUIRE(notes.size() == 1);
  REQUIRE(notes.front().find("appserverctl reload api") != std::string::npos);
}
