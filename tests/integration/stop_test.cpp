// The end of a daemon: by signal or command, gentle or at once.
#include <signal.h>

#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"

using namespace appserver::integration;

namespace {

const Exit kClean{0, 0};

// A request in the plugin that ends when the test says so, and a daemon around it.
struct Busy {
  Site site{probe_group(2)};
  Daemon daemon{site};
  Endpoint address = daemon.address();
  Gate gate{site.root()};
  Connection client{address};

  Busy() {
    REQUIRE(client.send(gate.request(address)) == Outcome::ok);
    gate.wait_until_reached();
  }
};

}  // namespace

TEST_CASE(
    "SIGTERM takes no new connection, lets requests in flight finish, and then ends the daemon") {
  Busy busy;
  const auto signal = GENERATE(SIGTERM, SIGQUIT);
  busy.daemon.process().signal(signal);
  eventually("new connections are refused", 10s,
             [&] { return get(busy.address, "/", 1s).outcome == Outcome::refused; });
  REQUIRE(busy.daemon.process().running());
  busy.gate.open();
  const auto response = busy.client.receive();
  INFO(response.text());
  REQUIRE(response.body == "v1\n");
  REQUIRE(response.header("Connection") == "close");
  busy.daemon.has_ended(kClean);
}

TEST_CASE("a second SIGTERM ends the daemon at once") {
  Busy busy;
  busy.daemon.process().signal(SIGTERM);
  eventually("new connections are refused", 10s,
             [&] { return get(busy.address, "/", 1s).outcome == Outcome::refused; });
  busy.daemon.process().signal(SIGTERM);
  // Far below drain_timeout, which is 30 s.
  busy.daemon.has_ended(kClean, 10s);
}

TEST_CASE("SIGINT ends the daemon at once") {
  Busy busy;
  busy.daemon.process().signal(SIGINT);
  busy.daemon.has_ended(kClean, 10s);
}

TEST_CASE("a stop cuts what is still in flight when drain_timeout is over") {
  Site site(probe_group(1, "    reload: {drain_timeout: 500ms}\n"));
  Daemon daemon(site);
  Gate gate(site.root());
  Connection client(daemon.address());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  daemon.process().signal(SIGTERM);
  daemon.has_ended(kClean, 10s);
  const auto response = client.receive();
  REQUIRE(response.outcome != Outcome::ok);
}

TEST_CASE("appserverctl stop ends the daemon and returns 0") {
  Site site(probe_group(2));
  Daemon daemon(site);
  const auto finished = daemon.ctl({"stop"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  daemon.has_ended(kClean);
  REQUIRE_FALSE(std::filesystem::exists(site.control_socket()));
}

TEST_CASE("a stop under load cuts no request short") {
  Site site(probe_group(2));
  Daemon daemon(site);
  Load load(daemon.address());
  load.wait_for_more(100);
  daemon.stop();
  const auto totals = load.stop();
  INFO(totals.text());
  for (const auto& failure : totals.failures) {
    INFO(failure.text());
    // Refused afterwards; a connection that was never answered, or was idle, may be closed. An
    // answer that has begun is whole.
    REQUIRE(failure.outcome != Outcome::cut_short);
    REQUIRE(failure.outcome != Outcome::malformed);
    REQUIRE(failure.outcome != Outcome::timeout);
    REQUIRE(failure.outcome != Outcome::ok);
  }
}

TEST_CASE("a stop during a reload ends both, and the reload says so") {
  Busy busy;
  busy.daemon.expect_error("rollout");
  busy.site.install(probe_v2());
  Process reload({ctl_binary(), "reload", "--socket", busy.site.control_socket().string()});
  busy.daemon.wait_for_status("the reload runs",
                              [](const Status& status) { return status.group("api").reloading; });
  busy.daemon.process().signal(SIGTERM);
  busy.gate.open();
  busy.client.receive();
  const auto exit = reload.wait(30s);
  INFO(reload.out() << reload.err());
  REQUIRE(exit.has_value());
  REQUIRE(exit->code == 1);
  REQUIRE((reload.out() + reload.err()).find("stopping") != std::string::npos);
  busy.daemon.has_ended(kClean);
}

TEST_CASE("unix sockets are gone after a stop") {
  Site site("groups:\n  api: {plugin: probe, listen: 'http://unix:run/api.sock', count: 1}\n");
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").ok());
  daemon.stop();
  REQUIRE_FALSE(std::filesystem::exists(site.root() / "run/api.sock"));
  REQUIRE_FALSE(std::filesystem::exists(site.control_socket()));
}
