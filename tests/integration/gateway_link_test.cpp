// A gateway and its business group in two daemons.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "support/crowd.hpp"
#include "support/daemon.hpp"
#include "support/gateway_site.hpp"
#include "support/linked_sites.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

std::string next(Talk& talk) { return talk.receive().value_or("(closed)"); }

// Until each business worker is linked to each gateway worker.
void wait_until_linked(const Daemon& chat, int workers, int gateways) {
  const std::string links = "\"links\":{\"linked\":" + std::to_string(gateways) +
                            ",\"known\":" + std::to_string(gateways);
  chat.wait_for_status("all are linked", [&](const Status& status) {
    int linked = 0;
    for (auto at = status.text.find(links); at != std::string::npos;
         at = status.text.find(links, at + 1))
      ++linked;
    return linked == workers;
  });
}

}  // namespace

TEST_CASE("clients notice nothing of reloads of a business group in another daemon") {
  const LinkOver over =
      GENERATE(LinkOver::tcp, LinkOver::tcp_v6, LinkOver::unix_socket, LinkOver::mutual_tls);
  LinkedSites sites({.over = over});
  Daemon gate(sites.gate);
  Daemon chat(sites.chat);
  wait_until_linked(chat, 2, 2);
  Crowd crowd(gate.address("gate"), 100);
  crowd.wait_for_more(500);
  for (const std::string version : {"v2", "v1"}) {
    sites.install_relay(version);
    const Finished finished = chat.ctl({"reload", "chat"});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
    crowd.wait_for_more(300);
  }
  CHECK(crowd.stop() == std::vector<std::string>{});
  CHECK(crowd.again() == 0);
}

TEST_CASE("messages wait while the daemon of the business group is away, and clients stay") {
  LinkedSites sites;
  Daemon gate(sites.gate);
  std::vector<Talk> talks;
  {
    Daemon chat(sites.chat);
    wait_until_linked(chat, 2, 2);
    for (int i = 0; i < 4; ++i) talks.emplace_back(gate.address("gate"));
    for (Talk& talk : talks) CHECK(talk.ask("one") == "v1 1 one");
  }
  for (Talk& talk : talks) talk.send("two");
  Daemon chat(sites.chat);
  for (Talk& talk : talks) CHECK(next(talk) == "v1 2 two");
}

TEST_CASE("a business daemon is ready without its gateway, and linked once that is there") {
  LinkedSites sites;
  Daemon chat(sites.chat);
  chat.wait_for_log("no link to the gateway worker at tcp://127.0.0.1:");
  Daemon gate(sites.gate);
  wait_until_linked(chat, 2, 2);
  chat.wait_for_log(" again");
  Talk talk(gate.address("gate"));
  CHECK(talk.ask("one") == "v1 1 one");
}

TEST_CASE("a business worker that is killed costs a client of another daemon nothing") {
  LinkedSites sites;
  Daemon gate(sites.gate);
  Daemon chat(sites.chat);
  chat.expect_error("chat/");
  wait_until_linked(chat, 2, 2);
  Crowd crowd(gate.address("gate"), 50, 4);
  crowd.wait_for_more(500);
  for (int round = 0; round < 2; ++round) {
    REQUIRE(::kill(chat.pids("chat").front(), SIGKILL) == 0);
    crowd.wait_for_more(500);
    chat.wait_until_ready();
  }
  CHECK(crowd.stop() == std::vector<std::string>{});
}

TEST_CASE(
    "a wrong secret is refused and told on both sides, and a right one is taken at a reload") {
  LinkedSites sites({.gateways = 1, .workers = 1});
  const auto wrong = sites.put("wrong.secret", std::string(64, 'b'));
  sites.configure_chat("secret_file: " + wrong.native());
  Daemon gate(sites.gate);
  Daemon chat(sites.chat);
  chat.wait_for_log("it refused the secret of this side");
  gate.wait_for_log("it does not know the secret of this side");
  CHECK(chat.log().find(std::string(64, 'b')) == std::string::npos);
  CHECK(gate.log().find(std::string(64, 'a')) == std::string::npos);
  sites.put("wrong.secret", std::string(64, 'a'));
  REQUIRE(chat.ctl({"reload"}).exit.code == 0);
  wait_until_linked(chat, 1, 1);
}

TEST_CASE("a secret that others can read is refused, with the way out") {
  LinkedSites sites;
  const auto secret = sites.put("link.secret", std::string(64, 'a'));
  Daemon gate(sites.gate);
  gate.expect_error("can be read or changed by others");
  std::filesystem::permissions(secret, std::filesystem::perms(0644));
  const Finished refused = gate.ctl({"reload", "--force", "gate"});
  CHECK(refused.exit.code == 3);
  CHECK(refused.text().find("chmod 600 " + secret.native()) != std::string::npos);
}

TEST_CASE("a link that is closed under both ends is made again") {
  SECTION("between two daemons") {
    LinkedSites sites({.workers = 1});
    Daemon gate(sites.gate);
    Daemon chat(sites.chat);
    wait_until_linked(chat, 1, 2);
    Talk talk(gate.address("gate"));
    CHECK(talk.ask("one") == "v1 1 one");
    REQUIRE(shut_down_links(chat.pids("chat").front()) == 2);
    CHECK(talk.ask("two") == "v1 2 two");
    wait_until_linked(chat, 1, 2);
  }
  SECTION("within one") {
    GatewaySite site({.gateways = 2});
    Daemon daemon(site);
    wait_until_linked(daemon, 1, 2);
    Talk talk(daemon.address("gate"));
    CHECK(talk.ask("one") == "v1 1 one");
    REQUIRE(shut_down_links(daemon.pids("chat").front()) == 2);
    CHECK(talk.ask("two") == "v1 2 two");
    wait_until_linked(daemon, 1, 2);
  }
}

TEST_CASE("a business worker that says nothing any more is taken for gone") {
  LinkedSites sites({.gateways = 1, .workers = 1, .timeout = "1s"});
  Daemon gate(sites.gate);
  Daemon chat(sites.chat);
  wait_until_linked(chat, 1, 1);
  Talk talk(gate.address("gate"));
  CHECK(talk.ask("one") == "v1 1 one");
  const pid_t worker = chat.pids("chat").front();
  REQUIRE(::kill(worker, SIGSTOP) == 0);
  gate.wait_for_log("nothing was heard of its peer for 1000 ms");
  talk.send("two");
  REQUIRE(::kill(worker, SIGCONT) == 0);
  CHECK(next(talk) == "v1 2 two");
}

TEST_CASE("workers that a gateway gets or loses are found by its business workers") {
  LinkedSites sites({.gateways = 3, .workers = 1});
  // What begins within the life of a daemon is its own, as far as its end can tell.
  Daemon chat(sites.chat);
  Daemon gate(sites.gate);
  wait_until_linked(chat, 1, 3);
  REQUIRE(gate.ctl({"scale", "gate", "1"}).exit.code == 0);
  wait_until_linked(chat, 1, 1);
  REQUIRE(gate.ctl({"scale", "gate", "3"}).exit.code == 0);
  wait_until_linked(chat, 1, 3);
}

TEST_CASE(
    "the worker that takes a gateway worker's place is linked before the other one has gone") {
  LinkedSites sites({.gateways = 1, .workers = 1});
  // What begins within the life of a daemon is its own, as far as its end can tell.
  Daemon chat(sites.chat);
  Daemon gate(sites.gate);
  wait_until_linked(chat, 1, 1);
  Talk before(gate.address("gate"));
  CHECK(before.ask("one") == "v1 1 one");
  Process restart = gate.begin_ctl({"reload", "--force", "gate"});
  gate.wait_for_log("rollout r-1");
  gate.wait_for_status("the successor serves", [](const Status& status) {
    const auto& workers = status.group("gate").workers;
    return workers.size() == 2 && workers[0].state != workers[1].state;
  });
  wait_until_linked(chat, 1, 2);
  Talk after(gate.address("gate"));
  CHECK(after.ask("one") == "v1 1 one");
  const auto exit = restart.wait(30s);
  REQUIRE(exit);
  CHECK(exit->code == 0);
  wait_until_linked(chat, 1, 1);
}
