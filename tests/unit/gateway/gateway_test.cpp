#include "gateway/gateway.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "gateway_harness.hpp"

using namespace appserver;
using namespace appserver::gateway;
using namespace appserver::test;
using namespace std::chrono_literals;

TEST_CASE("a client's events reach one worker, in order") {
  Town f;
  Worker& first = f.work();
  Worker& second = f.work();
  Client client = f.doors[0]->connect();
  client.send("a\nb\n");
  REQUIRE(f.tells(first, "connect a b "));
  client.end();
  REQUIRE(f.tells(first, "connect a b close "));
  CHECK(first.told[3].detail == APPSERVER_CLOSED_BY_PEER);
  CHECK(second.told.empty());
  CHECK(f.until([&] { return f.doors[0]->gate.is_done(); }));
}

TEST_CASE("what comes without a worker is kept, its sender's address too, until one is there") {
  Town f;
  Client leaver = f.doors[0]->connect();
  leaver.send("a\n");
  leaver.end();
  REQUIRE(f.until([&] { return f.doors[0]->gate.counts().parked_events == 3; }));
  Worker& worker = f.work();
  REQUIRE(f.tells(worker, "connect a close "));
  CHECK_FALSE(worker.told[0].remote.empty());
}

TEST_CASE("what a worker had not acknowledged when it ended goes to another, flagged") {
  Town f;
  Worker& first = f.work(true);
  Client client = f.doors[0]->connect();
  client.send("a\nb\n");
  REQUIRE(f.tells(first, "connect a b "));
  CHECK(first.business.acknowledge(first.told[0].id));
  CHECK(first.business.acknowledge(first.told[1].id));
  CHECK_FALSE(first.business.acknowledge(first.told[1].id));
  Worker& second = f.work();
  first.business.stop();  // what it has acknowledged in this turn is told first
  REQUIRE(f.tells(second, "b! "));
  CHECK_FALSE(first.business.acknowledge(first.told[2].id));
  client.send("c\n");
  CHECK(f.tells(second, "b! c "));
}

TEST_CASE("at most once: what a worker that has ended may have seen is not given again") {
  GatewayOptions options;
  options.routes.at_least_once = false;
  Town f(options);
  Worker& first = f.work(true);
  Client client = f.doors[0]->connect();
  client.send("a\n");
  REQUIRE(f.tells(first, "connect a "));
  Worker& second = f.work();
  first.business.stop();
  REQUIRE(f.until([&] { return f.doors[0]->gate.counts().workers == 1; }));
  client.send("b\n");
  CHECK(f.tells(second, "connect! b "));
  CHECK(f.doors[0]->gate.counts().lost == 1);
}

TEST_CASE("a worker that drains loses nothing, and is drained when the gateway knows all") {
  Town f;
  Worker& first = f.work(true);
  Client client = f.doors[0]->connect();
  client.send("a\n");
  REQUIRE(f.tells(first, "connect a "));
  Worker& second = f.work();
  first.business.drain();
  REQUIRE(f.until([&] { return f.doors[0]->gate.counts().workers == 1; }));
  client.send("b\n");
  settle(f.context);
  CHECK_FALSE(first.business.is_drained());
  CHECK(second.told.empty());
  for (const auto& each : first.told) first.business.acknowledge(each.id);
  CHECK_FALSE(first.business.is_drained());  // nothing of it is sent yet
  REQUIRE(f.tells(second, "b "));
  REQUIRE(f.until([&] { return first.business.is_drained(); }));
  first.business.stop();
  settle(f.context);
  CHECK(second.story() == "b ");
}

TEST_CASE("a gateway that is gone gives a close for each of its clients") {
  Town f;
  f.open_doors();
  Worker& worker = f.work();
  Client one = f.doors[0]->connect();
  Client two = f.doors[0]->connect();
  Client other = f.doors[1]->connect();
  REQUIRE(f.tells(worker, "connect connect connect "));
  f.doors[0]->cut_links();
  REQUIRE(f.tells(worker, "connect connect connect close close "));
  CHECK(worker.told[3].client.instance == 101);
  CHECK(worker.told[3].client != worker.told[4].client);
  CHECK(worker.told[3].detail == APPSERVER_CLOSED_FAILURE);
  other.send("still here\n");
  CHECK(f.tells(worker, "connect connect connect close close still here "));
}

TEST_CASE("commands and questions go to the clients of all gateways") {
  Town f;
  f.open_doors();
  Worker& worker = f.work();
  Client one = f.doors[0]->connect();
  Client two = f.doors[1]->connect();
  REQUIRE(f.tells(worker, "connect connect "));
  const bool in_order = worker.told[0].client.instance == 101;
  const ClientId first = worker.told[in_order ? 0 : 1].client;
  const ClientId second = worker.told[in_order ? 1 : 0].client;
  Command command;
  const auto run = [&](Verb verb, const Audience& audience, std::string_view name = {},
                       std::string_view body = {}) {
    command.verb = verb;
    command.name = name;
    command.body = body;
    return f.ask(worker, audience, command);
  };
  const Audience all{Scope::all, {}, {}};
  const Audience a{Scope::clients, {first}, {}};
  const Audience b{Scope::clients, {second}, {}};
  CHECK(run(Verb::bind_uid, a, "alice").result == TableResult::ok);
  CHECK(run(Verb::join_group, a, "room").result == TableResult::ok);
  CHECK(run(Verb::join_group, b, "room").result == TableResult::ok);
  CHECK(run(Verb::count, all).number == 2);
  CHECK(run(Verb::uids, all).names == std::map<std::string, std::uint64_t>{{"alice", 1}});
  CHECK(run(Verb::groups, all).names == std::map<std::string, std::uint64_t>{{"room", 2}});
  CHECK(run(Verb::clients, {Scope::groups, {}, {"room"}}).clients.size() == 2);
  CHECK(run(Verb::session, a).clients.at(0).uid == "alice");

  CHECK(run(Verb::set_session, a, {}, "s1").number == 1);
  command.expected = 7;
  CHECK(run(Verb::set_session, a, {}, "s2").result == TableResult::conflict);
  command.expected = 1;
  CHECK(run(Verb::set_session, a, {}, "s2").number == 2);
  command.expected.reset();
  one.send("hi\n");
  REQUIRE(f.until([&] { return worker.told.size() == 3; }));
  CHECK(worker.told[2].session == "s2");  // as it was compared and set by the worker itself
  CHECK(worker.told[2].uid == "alice");

  command.verb = Verb::send;
  command.kind = APPSERVER_MESSAGE_TEXT;
  command.body = "x";
  CHECK(worker.business.tell(all, command, {first}) == Business::Sent::sent);
  command.body = "y";
  worker.business.tell({Scope::uids, {}, {"alice"}}, command);
  command.body = "z";
  worker.business.tell({Scope::groups, {}, {"room"}}, command);
  CHECK(f.gets(one, "y\nz\n"));
  CHECK(f.gets(two, "x\nz\n"));
  CHECK(run(Verb::leave_group, b, "room").result == TableResult::ok);
  CHECK(run(Verb::count, {Scope::groups, {}, {"room"}}).number == 1);
  CHECK(run(Verb::ungroup, all, "room").result == TableResult::ok);
  CHECK(run(Verb::count, {Scope::groups, {}, {"room"}}).number == 0);
  CHECK(run(Verb::unbind_uid, a).result == TableResult::ok);
  CHECK(run(Verb::uids, all).names.empty());
  CHECK(run(Verb::session, {Scope::clients, {{first.instance, 99}}, {}}).clients.empty());
  CHECK(run(Verb::bind_uid, {Scope::clients, {{first.instance, 99}}, {}}, "x").result ==
        TableResult::no_client);
  CHECK(run(Verb::session, {Scope::clients, {first, {999, 1}}, {}}).partial);
  run(Verb::close, a);
  run(Verb::destroy, b);
  CHECK(f.until([&] {
    one.read_all();
    two.read_all();
    return one.closed && two.closed;
  }));
}

TEST_CASE("a link to what is no business worker is refused in words") {
  Town f;
  auto [gate_end, worker_end] = os::make_socket_pair(SOCK_STREAM);
  f.doors[0]->gate.add_link(std::move(gate_end));
  Client liar(std::move(worker_end));
  Hello hello;
  hello.role = Role::gateway;
  hello.instance = 5;
  std::string out;
  append_hello(out, hello);
  liar.send(out);
  REQUIRE(f.until([&] {
    liar.read_all();
    return liar.closed;
  }));
  CHECK(liar.got("is no business worker"));
}

TEST_CASE("a client that does not take what is sent to it is cut") {
  Town f;
  Worker& worker = f.work();
  Client slow = f.doors[0]->connect();
  REQUIRE(f.tells(worker, "connect "));
  Command command;
  command.verb = Verb::send;
  command.kind = APPSERVER_MESSAGE_TEXT;
  const std::string body(900, 'x');
  command.body = body;
  for (int i = 0; i < 2000 && f.doors[0]->gate.counts().cut == 0; ++i) {
    worker.business.tell({Scope::all, {}, {}}, command);
    settle(f.context);
  }
  CHECK(f.doors[0]->gate.counts().cut == 1);
  CHECK(f.tells(worker, "connect close "));
}

TEST_CASE("silent clients are sent ping_data each interval, and cut after ping_limit of them") {
  GatewayOptions options;
  options.ping_interval = 1ms;
  options.ping_limit = 3;
  options.ping_data = "ping";
  Town f(options);
  Worker& worker = f.work();
  Client silent = f.doors[0]->connect();
  REQUIRE(f.tells(worker, "connect "));
  REQUIRE(f.until([&] {
    f.doors[0]->gate.tick();
    silent.read_all();
    return silent.closed;
  }));
  CHECK(silent.received.starts_with("ping\nping\n"));
  CHECK(f.tells(worker, "connect close "));
}

TEST_CASE("beyond park.memory clients are held and new ones turned away, until a worker comes") {
  GatewayOptions options;
  options.routes.parked_bytes = 2000;
  Town f(options);
  Client client = f.doors[0]->connect();
  std::string all = "connect ";
  for (int i = 0; i < 40; ++i) {
    client.send("m" + std::to_string(i) + "\n");
    all += "m" + std::to_string(i) + " ";
    settle(f.context);
  }
  CHECK(f.doors[0]->gate.counts().parked_events < 30);
  Client late = f.doors[0]->connect();
  REQUIRE(f.until([&] {
    late.read_all();
    return late.closed;
  }));
  CHECK(f.doors[0]->complaints.size() == 1);
  CHECK(f.tells(f.work(), all));
}

TEST_CASE(
    "a link that ends is complained of, but not by a worker that has done all it owes and goes") {
  for (const bool goes : {false, true}) {
    INFO(goes);
    Town f;
    Worker& worker = f.work();
    Client client = f.doors[0]->connect();
    REQUIRE(f.tells(worker, "connect "));
    if (goes) worker.business.drain();
    REQUIRE(f.until([&] { return !goes || worker.business.is_drained(); }));
    f.doors[0]->cut_links();
    REQUIRE(f.until([&] { return worker.business.gateways() == 0; }));
    CHECK(worker.complaints.empty() == goes);
  }
}

TEST_CASE("an event of a link that has ended is not acknowledged over the next to that gateway") {
  Town f;
  Worker& worker = f.work(true);
  Client client = f.doors[0]->connect();
  REQUIRE(f.tells(worker, "connect "));
  f.doors[0]->cut_links();
  REQUIRE(f.tells(worker, "connect close "));
  f.link(*f.doors[0], worker);
  REQUIRE(f.tells(worker, "connect close connect! "));
  CHECK_FALSE(worker.business.acknowledge(worker.told[0].id));
  client.send("a\n");
  REQUIRE(f.tells(worker, "connect close connect! a "));
  CHECK(worker.business.acknowledge(worker.told[2].id));
  CHECK(worker.business.unacknowledged() == 1);
}
