// Gateway and business workers: what a business plugin is told and can do.
#include <signal.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "support/daemon.hpp"
#include "support/gateway_site.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

std::string id_in(const std::string& bound) { return bound.substr(bound.find(' ') + 1); }

std::string next(Talk& talk) { return talk.receive().value_or("(closed)"); }

}  // namespace

TEST_CASE("each client is told by its business worker, over every protocol of a gateway") {
  const std::string scheme = GENERATE("ws", "text", "frame");
  GatewaySite site({.listen = scheme + "://127.0.0.1:0", .settings = "greet: true"});
  Daemon daemon(site);
  Talk talk(daemon.address("gate"), 15s, {"/room?a=b"});
  CHECK(next(talk) == "connect");
  if (scheme == "ws") CHECK(next(talk) == "open /room");
  CHECK(talk.ask("one") == "v1 1 one");
  CHECK(talk.ask("two") == "v1 2 two");
}

TEST_CASE("bare tcp clients of a gateway get back what business code sends") {
  GatewaySite site({.listen = "tcp://127.0.0.1:0"});
  Daemon daemon(site);
  Talk talk(daemon.address("gate"));
  talk.send_bytes("one");
  CHECK(next(talk) == "v1 1 one");
}

TEST_CASE("messages go to all, to groups, to uids and to single clients, on every gateway worker") {
  GatewaySite site({.gateways = 2, .workers = 3});
  Daemon daemon(site);
  std::vector<Talk> talks;
  std::vector<std::string> ids;
  for (int i = 0; i < 8; ++i) {
    talks.emplace_back(daemon.address("gate"));
    ids.push_back(id_in(talks.back().ask("bind " + std::string(i < 2 ? "ann" : "bob"))));
  }
  talks[0].send("all hello");
  for (std::size_t i = 1; i < talks.size(); ++i) CHECK(next(talks[i]) == "hello");
  for (const std::size_t i : {1, 3, 5}) CHECK(talks[i].ask("join room") == "joined");
  talks[5].send("group room to-room");
  for (const std::size_t i : {1, 3}) CHECK(next(talks[i]) == "to-room");
  talks[7].send("uid ann to-ann");
  for (const std::size_t i : {0, 1}) CHECK(next(talks[i]) == "to-ann");
  CHECK(talks[2].ask("count") == "8");
  CHECK(talks[2].ask("members room") == "3");
  CHECK(talks[2].ask("groups") == "room:3");
  CHECK(talks[2].ask("uids") == "ann:2 bob:6");
  CHECK(talks[2].ask("online " + ids[4]) == "online");
  CHECK(talks[3].ask("leave room") == "left");
  CHECK(talks[2].ask("members room") == "2");
  CHECK(talks[0].ask("unbind") == "unbound");
  CHECK(talks[2].ask("uids") == "ann:1 bob:6");
}

TEST_CASE("who leaves is told of, is offline, and is in no group any more") {
  GatewaySite site({.workers = 2});
  Daemon daemon(site);
  Talk watcher(daemon.address("gate"));
  CHECK(watcher.ask("join watchers") == "joined");
  Talk leaver(daemon.address("gate"));
  const std::string id = id_in(leaver.ask("bind ann"));
  CHECK(leaver.ask("join room") == "joined");
  leaver.close();
  CHECK(next(watcher) == "left " + id + " 0");
  CHECK(watcher.ask("online " + id) == "offline");
  CHECK(watcher.ask("members room") == "0");
  CHECK(watcher.ask("uids") == "");
}

TEST_CASE("a client that is kicked gets the code, and others learn who closed it") {
  GatewaySite site;
  Daemon daemon(site);
  Talk watcher(daemon.address("gate"));
  CHECK(watcher.ask("join watchers") == "joined");
  Talk kicked(daemon.address("gate"));
  const std::string id = id_in(kicked.ask("bind ann"));
  watcher.send("kick " + id);
  CHECK(kicked.closed_by_server());
  CHECK(kicked.close_code() == 4000);
  CHECK(next(watcher) == "left " + id + " 1");
}

TEST_CASE("a session set by one worker is what the client's next worker finds") {
  GatewaySite site({.workers = 1});
  Daemon daemon(site);
  Talk talk(daemon.address("gate"));
  CHECK(talk.ask("bind ann").starts_with("bound "));
  CHECK(talk.ask("session kept") == "session kept");
  site.install_relay("v2");
  CHECK(daemon.ctl({"reload", "chat"}).exit.code == 0);
  CHECK(talk.ask("session") == "session kept");
  CHECK(talk.ask("who").find(" ann ") != std::string::npos);
  CHECK(talk.ask("x") == "v2 1 x");
}

TEST_CASE("an exception of a hook is logged, and costs neither the client nor the worker") {
  GatewaySite site;
  Daemon daemon(site);
  daemon.expect_error("on_client_message");
  Talk talk(daemon.address("gate"));
  const std::string who = talk.ask("who");
  talk.send("throw");
  CHECK(talk.ask("who") == who);
  daemon.wait_for_log("on_client_message: std::runtime_error: as the message says");
}

TEST_CASE("a message whose worker is killed goes to another one, marked as given again") {
  GatewaySite site({.workers = 2});
  Daemon daemon(site);
  daemon.expect_error("chat/");
  Talk talk(daemon.address("gate"));
  CHECK(talk.ask("one") == "v1 1 one");
  talk.send("hold 600000 never");
  talk.send("kill");
  talk.send("two");
  CHECK(next(talk) == "v1 again hold 600000 never");
  CHECK(next(talk) == "v1 again kill");
  // It may have been on its way to the worker, or not.
  const std::string answer = next(talk);
  CHECK((answer == "v1 again two" || answer == "v1 2 two"));
}

TEST_CASE("with at_most_once nothing is given twice") {
  GatewaySite site({.workers = 2, .gateway = "    delivery: at_most_once\n"});
  Daemon daemon(site);
  daemon.expect_error("chat/");
  Talk talk(daemon.address("gate"));
  CHECK(talk.ask("one") == "v1 1 one");
  talk.send("kill");
  daemon.wait_for_log("is not given again");
  CHECK(talk.ask("two") == "v1 2 two");
}

TEST_CASE("with no business worker messages wait, and clients stay") {
  GatewaySite site;
  Daemon daemon(site);
  daemon.expect_error("chat/");
  Talk talk(daemon.address("gate"));
  CHECK(talk.ask("one") == "v1 1 one");
  talk.send("kill");
  for (int i = 0; i < 100; ++i) talk.send(std::to_string(i));
  CHECK(next(talk) == "v1 again kill");
  for (int i = 0; i < 100; ++i) {
    const std::string answer = next(talk);
    CHECK(answer.ends_with(" " + std::to_string(i)));
  }
}

TEST_CASE("when a gateway worker dies, business workers are told of each of its clients") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  daemon.expect_error("gate/");
  std::vector<Talk> talks;
  for (int i = 0; i < 12; ++i) {
    talks.emplace_back(daemon.address("gate"));
    CHECK(talks.back().ask("join watchers") == "joined");
  }
  REQUIRE(::kill(daemon.pids("gate").front(), SIGKILL) == 0);
  std::size_t gone = 0;
  std::vector<Talk*> left;
  for (Talk& talk : talks) {
    const auto first = talk.receive();
    if (!first) {
      ++gone;
    } else {
      CHECK(first->ends_with(" 5"));
      left.push_back(&talk);
    }
  }
  REQUIRE(gone > 0);
  for (Talk* talk : left) {
    for (std::size_t i = 1; i < gone; ++i) CHECK(next(*talk).starts_with("left "));
  }
}
