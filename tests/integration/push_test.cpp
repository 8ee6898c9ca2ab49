// The clients of a gateway, reached from outside: by appserverctl, and by programs with the SDK's
// remote_gateway.hpp.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <appserver/remote_gateway.hpp>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/daemon.hpp"
#include "support/gateway_site.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;
using appserver::Audience;
using appserver::ClientId;
using appserver::RemoteGateway;

namespace {

constexpr uid_t kNobody = 65534;

std::string next(Talk& talk) { return talk.receive().value_or("(closed)"); }

// Clients at both gateway workers; the first two are ann, the others bob.
struct Hall {
  explicit Hall(const Daemon& daemon, std::size_t count = 8) {
    for (std::size_t i = 0; i < count; ++i) {
      talks.emplace_back(daemon.address("gate"));
      const std::string bound = talks.back().ask(i < 2 ? "bind ann" : "bind bob");
      ids.push_back(bound.substr(bound.find(' ') + 1));
    }
  }
  // How many gateway workers hold some of them.
  std::size_t workers() const {
    std::set<std::string> instances;
    for (const std::string& id : ids) instances.insert(id.substr(0, id.find('-')));
    return instances.size();
  }

  std::vector<Talk> talks;
  std::vector<std::string> ids;
};

Finished gateway(const Daemon& daemon, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "gateway");
  arguments.insert(arguments.end(), {"--gateway", "gate"});
  return daemon.ctl(std::move(arguments));
}

// What it prints, where it succeeds.
std::string done(const Daemon& daemon, std::vector<std::string> arguments) {
  const Finished finished = gateway(daemon, std::move(arguments));
  INFO(finished.text());
  CHECK(finished.exit.code == 0);
  CHECK(finished.err.empty());
  return finished.out;
}

}  // namespace

TEST_CASE("messages of appserverctl reach all clients, uids, groups and single ones") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  Hall hall(daemon, 16);
  REQUIRE(hall.workers() == 2);
  CHECK(done(daemon, {"send", "to all", "--all"}) == "sent to 16 clients\n");
  for (Talk& talk : hall.talks) CHECK(next(talk) == "to all");
  CHECK(done(daemon, {"send", "to ann", "--uid", "ann", "--uid", "nobody"}) ==
        "sent to 2 clients\n");
  CHECK(done(daemon, {"join-group", "room", "--client", hall.ids[1], "--client", hall.ids[5]}) ==
        "done for 2 clients\n");
  CHECK(done(daemon, {"send", "to room", "--group", "room", "--except", hall.ids[5]}) ==
        "sent to 1 client\n");
  CHECK(done(daemon, {"send", "to one", "--client", hall.ids[0]}) == "sent to 1 client\n");
  CHECK(next(hall.talks[0]) == "to ann");
  CHECK(next(hall.talks[0]) == "to one");
  CHECK(next(hall.talks[1]) == "to ann");
  CHECK(next(hall.talks[1]) == "to room");
  CHECK(hall.talks[5].ask("who").find("bob") != std::string::npos);
}

TEST_CASE("what appserverctl asks of a gateway is put together from both of its workers") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  Hall hall(daemon, 16);
  REQUIRE(hall.workers() == 2);
  CHECK(done(daemon, {"count"}) == "16\n");
  CHECK(done(daemon, {"count", "--uid", "ann"}) == "2\n");
  CHECK(done(daemon, {"uids"}) == "UID  CLIENTS\nann        2\nbob       14\n");
  CHECK(hall.talks[3].ask("join room") == "joined");
  CHECK(done(daemon, {"groups"}) == "GROUP  CLIENTS\nroom         1\n");
  CHECK(done(daemon, {"clients", "--group", "room"}) ==
        "CLIENT                             UID\n" + hall.ids[3] + "  bob\n");
  CHECK(done(daemon, {"set-session", "kept", "--client", hall.ids[3]}) ==
        "the session has version 1\n");
  CHECK(hall.talks[3].ask("session") == "session kept");
  CHECK(done(daemon, {"session", "--client", hall.ids[3]}).find("kept") != std::string::npos);
  const Finished conflict =
      gateway(daemon, {"set-session", "x", "--client", hall.ids[3], "--expected", "7"});
  CHECK(conflict.exit.code == 1);
  CHECK(conflict.err.find("the session has another version by now") != std::string::npos);
  const std::string json = done(daemon, {"count", "--json"});
  CHECK(json ==
        "{\"partial\":false,\"error\":null,\"count\":16,\"failed\":0,\"version\":0,"
        "\"clients\":[],\"names\":[]}\n");
}

TEST_CASE("clients are closed from outside, with a code and a reason") {
  GatewaySite site;
  Daemon daemon(site);
  Hall hall(daemon, 2);
  CHECK(done(daemon, {"close", "maintenance", "--client", hall.ids[0], "--code", "4001"}) ==
        "closed 1 client\n");
  CHECK(hall.talks[0].closed_by_server());
  CHECK(hall.talks[0].close_code() == 4001);
  CHECK(hall.talks[0].close_reason() == "maintenance");
  CHECK(done(daemon, {"destroy", "--all"}) == "closed 1 client\n");
  eventually("nobody is left", 10s, [&] { return done(daemon, {"count"}) == "0\n"; });
}

TEST_CASE("what cannot be is refused in words, with the way out") {
  GatewaySite site;
  Daemon daemon(site);
  Hall hall(daemon, 1);
  const auto refused = [&](std::vector<std::string> arguments, int code, const std::string& words) {
    arguments.insert(arguments.begin(), "gateway");
    const Finished finished = daemon.ctl(std::move(arguments));
    INFO(finished.text());
    CHECK(finished.exit.code == code);
    CHECK(finished.err.find(words) != std::string::npos);
  };
  refused({"count", "--gateway", "gat"}, 1, "there is no gateway 'gat'; the gateways are: gate");
  refused({"count", "--gateway", "chat"}, 1, "there is no gateway 'chat'");
  refused({"send", "x", "--gateway", "gate", "--client", "0000000000000001-0000000000000001"}, 1,
          "no such client is connected");
  refused({"send", "x", "--gateway", "gate", "--client", "ann"}, 2, "\"ann\" is no id of a client");
  refused({"send", "x", "--gateway", "gate"}, 2, "must be told whom it is about: --all");
  refused({"send", "x", "--all"}, 2, "needs --gateway NAME");
  refused({"shout", "--gateway", "gate"}, 2, "gateway is followed by send, close, destroy");
  refused({"send", std::string(1, '\xff'), "--all", "--gateway", "gate"}, 2, "not UTF-8");
  CHECK(hall.talks[0].ask("one") == "v1 1 one");
}

TEST_CASE("a message may be as long as the gateway takes it, and no longer") {
  GatewaySite site({.gateway = "    limits: {max_message: 2KiB}\n"});
  Daemon daemon(site);
  Hall hall(daemon, 1);
  const std::string fits(2048, 'x');
  CHECK(done(daemon, {"send", fits, "--all"}) == "sent to 1 client\n");
  CHECK(next(hall.talks[0]) == fits);
  const Finished finished = gateway(daemon, {"send", fits + "x", "--all"});
  CHECK(finished.exit.code == 1);
  CHECK(finished.out == "sent to 0 clients\n");
  CHECK(finished.err.find("not done for 1 client: ") != std::string::npos);
  daemon.wait_for_log("over limits.max_message, was sent to it");
  const RemoteGateway remote(site.control_socket(), "gate");
  CHECK_THROWS_WITH(remote.send_to_all(std::string((1U << 20U) + 1, 'x')),
                    Catch::Contains("over 1048576 bytes"));
  CHECK_THROWS_WITH(remote.send_to_all(std::string(3U << 20U, 'x')), Catch::Contains("too large"));
}

TEST_CASE("a gateway worker that stands still makes the answer partial, in time") {
  GatewaySite site({.gateways = 2, .workers = 1});
  Daemon daemon(site);
  Hall hall(daemon, 16);
  REQUIRE(hall.workers() == 2);
  const pid_t stopped = daemon.pids("gate").front();
  REQUIRE(::kill(stopped, SIGSTOP) == 0);
  const auto begin = std::chrono::steady_clock::now();
  const Finished counted = gateway(daemon, {"count", "--timeout", "300ms"});
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
  INFO(counted.text());
  CHECK(counted.exit.code == 5);
  CHECK(counted.err.find("partial: a worker of the gateway is away") != std::string::npos);
  const int seen = std::stoi(counted.out);
  CHECK((seen > 0 && seen < 16));
  RemoteGateway remote(site.control_socket(), "gate");
  remote.set_timeout(10ms);
  // More than its channel would hold: it is not to be killed for them when it goes on.
  for (int i = 0; i < 200; ++i) CHECK(remote.all_client_count().partial);
  REQUIRE(::kill(stopped, SIGCONT) == 0);
  remote.set_timeout(10s);
  eventually("both workers answer again", 20s, [&] {
    const auto all = remote.all_client_count();
    return all.value == 16 && !all.partial;
  });
  for (Talk& talk : hall.talks) CHECK_FALSE(talk.ask("who").empty());
}

TEST_CASE("a gateway worker that dies while it is asked makes the answer partial at once") {
  GatewaySite site({.gateways = 2, .workers = 1});
  Daemon daemon(site);
  daemon.expect_error("gate/");
  const pid_t victim = daemon.pids("gate").front();
  REQUIRE(::kill(victim, SIGSTOP) == 0);
  Process asking = daemon.begin_ctl({"gateway", "count", "--gateway", "gate", "--timeout", "60s"});
  // It waits: the other one has answered, and this one cannot.
  CHECK_FALSE(asking.wait(300ms));
  REQUIRE(::kill(victim, SIGKILL) == 0);
  const auto exit = asking.wait(20s);
  REQUIRE(exit);
  CHECK(exit->code == 5);
}

TEST_CASE("pushes go on while business workers are reloaded, and none is lost or doubled") {
  GatewaySite site({.gateways = 2, .workers = 2});
  Daemon daemon(site);
  Hall hall(daemon, 6);
  const RemoteGateway remote(site.control_socket(), "gate");
  std::atomic<bool> stop{false};
  std::size_t sent = 0;
  std::string wrong;
  std::thread pushing([&] {
    while (!stop && wrong.empty()) {
      const auto answer = remote.send_to_all("push " + std::to_string(sent));
      if (answer.value != 6 || answer.partial) wrong = "push " + std::to_string(sent);
      ++sent;
    }
  });
  for (int round = 0; round < 3; ++round) {
    site.install_relay(round % 2 == 0 ? "v2" : "v1");
    const Finished finished = daemon.ctl({"reload", "chat"});
    CHECK(finished.exit.code == 0);
  }
  stop = true;
  pushing.join();
  CHECK(wrong == "");
  CHECK(sent > 0);
  for (Talk& talk : hall.talks) {
    for (std::size_t i = 0; i < sent; ++i) REQUIRE(next(talk) == "push " + std::to_string(i));
  }
}

TEST_CASE("a program has all of it by the SDK's remote gateway") {
  GatewaySite site({.gateways = 2, .workers = 1});
  Daemon daemon(site);
  Hall hall(daemon);
  const ClientId first = ClientId::from_text(hall.ids[0]).value();
  const ClientId third = ClientId::from_text(hall.ids[2]).value();
  const RemoteGateway remote(site.control_socket(), "gate");
  CHECK(remote.send_to_all("hello \"all\"", {first}).value == 7);
  CHECK(next(hall.talks[1]) == "hello \"all\"");
  CHECK(remote.send_binary(Audience::client(first), std::string("\0\xff", 2)).value == 1);
  CHECK(next(hall.talks[0]) == std::string("\0\xff", 2));
  CHECK(remote.all_client_count().value == 8);
  CHECK(remote.is_online(first).value);
  CHECK(remote.is_uid_online("ann").value);
  CHECK_FALSE(remote.is_uid_online("eve").value);
  CHECK(remote.bind_uid(first, "eve \xc3\xa4").value == 1);
  CHECK(remote.uids(Audience::all()).value ==
        RemoteGateway::Names{{"ann", 1}, {"bob", 6}, {"eve \xc3\xa4", 1}});
  CHECK(remote.join_group(third, "room").value == 1);
  CHECK(remote.groups(Audience::client(third)).value == RemoteGateway::Names{{"room", 1}});
  CHECK(remote.send_to_group("room", "to room").value == 1);
  CHECK(remote.client_count_by_group("room").value == 1);
  CHECK(remote.leave_group(third, "room").value == 1);
  CHECK(remote.get_session(first)->version == 0);
  CHECK(remote.set_session(first, "\xff\n"));
  const auto session = remote.get_session(first);
  REQUIRE(session);
  CHECK(session->bytes == "\xff\n");
  CHECK_FALSE(remote.compare_and_set_session(first, session->version + 1, "x"));
  CHECK(remote.compare_and_set_session(first, session->version, "x") > session->version);
  const auto records = remote.client_sessions(Audience::clients({first, third}));
  REQUIRE(records.value.size() == 2);
  CHECK_FALSE(remote.clients(Audience::client(first)).value.at(0).session);
  CHECK(remote.close_client(first, 4002, "bye").value == 1);
  CHECK(hall.talks[0].closed_by_server());
  CHECK(hall.talks[0].close_code() == 4002);
  eventually("it is gone", 10s, [&] { return !remote.is_online(first).value; });
  CHECK(remote.send_to_client(first, "x").value == 0);
  CHECK_FALSE(remote.get_session(first));
  CHECK_FALSE(remote.set_session(first, "x"));
  CHECK_THROWS_AS(remote.send_to_all("\xff"), std::invalid_argument);
  try {
    static_cast<void>(RemoteGateway(site.control_socket(), "hall").all_client_count());
    FAIL("there is no such gateway");
  } catch (const appserver::RemoteGatewayError& error) {
    CHECK(error.status() == 404);
    CHECK(std::string(error.what()).find("the gateways are: gate") != std::string::npos);
  }
  CHECK_THROWS_WITH(RemoteGateway(site.root() / "none", "gate").all_client_count(),
                    Catch::Contains("no daemon"));
}

TEST_CASE("users whom the gateway names may send, and nothing else; others may not even that") {
  if (::geteuid() != 0) {
    WARN("not run: only root can act as another user");
    return;
  }
  GatewaySite site;
  Daemon daemon(site);
  Hall hall(daemon, 1);
  REQUIRE(::chmod(site.control_socket().parent_path().c_str(), 0755) == 0);
  REQUIRE(::chmod(site.control_socket().c_str(), 0666) == 0);
  const auto as_nobody = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {ctl_binary(), "gateway"});
    arguments.insert(arguments.end(),
                     {"--gateway", "gate", "--socket", site.control_socket().string()});
    return run(std::move(arguments), 20s, {{}, site.root(), kNobody});
  };
  const Finished refused = as_nobody({"send", "x", "--all"});
  CHECK(refused.exit.code == 1);
  CHECK(refused.err.find("uid 65534 may not send to clients of gate; add its user to may_push") !=
        std::string::npos);
  const auto pids = daemon.pids("gate");
  GatewaySite allowing({.gateway = "    may_push: [nobody]\n"});
  std::filesystem::copy_file(allowing.config_file(), site.config_file(),
                             std::filesystem::copy_options::overwrite_existing);
  const Finished reloaded = daemon.ctl({"reload", "--changed", "--force", "gate"});
  INFO(reloaded.text());
  CHECK(reloaded.exit.code == 0);
  CHECK(daemon.pids("gate") == pids);
  const Finished sent = as_nobody({"send", "by nobody", "--all"});
  INFO(sent.text());
  CHECK(sent.exit.code == 0);
  CHECK(next(hall.talks[0]) == "by nobody");
  for (const std::string verb : {"count", "destroy"}) {
    const Finished other = as_nobody({verb, "--all"});
    CHECK(other.exit.code == 1);
    CHECK(other.err.find("may_push is for send") != std::string::npos);
  }
}
