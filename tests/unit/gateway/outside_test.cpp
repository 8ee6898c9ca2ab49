// What is asked of a gateway worker from outside, with real clients and a business worker on a
// link.
#include "gateway/outside.hpp"

#include <appserver/client_id.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <string>

#include "control/api.hpp"
#include "gateway_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using control::GatewayProblem;
using control::GatewayReply;
using control::GatewayRequest;
using control::GatewayScope;
using control::GatewayVerb;

namespace {

GatewayRequest to_all(GatewayVerb verb) { return {.gateway = "doors", .verb = verb}; }

std::string id_of(std::uint64_t instance, std::uint64_t serial) {
  return appserver::ClientId(appserver_client_id{instance, serial}).text();
}

GatewayRequest to_clients(GatewayVerb verb, std::vector<std::string> ids) {
  GatewayRequest request{.gateway = "doors", .verb = verb, .scope = GatewayScope::clients};
  request.of = std::move(ids);
  return request;
}

GatewayRequest to_group(GatewayVerb verb, const std::string& group) {
  GatewayRequest request{.gateway = "doors", .verb = verb, .scope = GatewayScope::groups};
  request.of = {group};
  return request;
}

// One gateway worker, instance 101, with three clients.
struct Street : Town {
  Street() : worker(work()) {
    for (int i = 0; i < 3; ++i) clients.push_back(doors[0]->connect());
    REQUIRE(tells(worker, "connect connect connect "));
  }
  GatewayReply ask(const GatewayRequest& request) {
    return gateway::answer_outside(doors[0]->gate, request);
  }
  GatewayReply name(GatewayVerb verb, const std::string& name, std::vector<std::string> ids) {
    GatewayRequest request = to_clients(verb, std::move(ids));
    request.name = name;
    return ask(request);
  }

  Worker& worker;
  std::vector<Client> clients;
};

}  // namespace

TEST_CASE("a message from outside reaches whom it names, but those left out") {
  Street f;
  GatewayRequest send = to_all(GatewayVerb::send);
  send.body = "hello";
  CHECK(f.ask(send) == GatewayReply{.count = 3});
  send.except = {id_of(101, 1), id_of(102, 2)};
  CHECK(f.ask(send) == GatewayReply{.count = 2});
  CHECK(f.name(GatewayVerb::join_group, "room", {id_of(101, 2)}) == GatewayReply{.count = 1});
  GatewayRequest to_room = to_group(GatewayVerb::send, "room");
  to_room.body = "to the room";
  CHECK(f.ask(to_room) == GatewayReply{.count = 1});
  CHECK(f.gets(f.clients[0], "hello\n"));
  CHECK(f.gets(f.clients[1], "hello\nhello\nto the room\n"));
  CHECK(f.gets(f.clients[2], "hello\nhello\n"));
}

TEST_CASE("what a client's protocol cannot carry is told to who sent it") {
  Street f;
  GatewayRequest send = to_all(GatewayVerb::send);
  send.body = "two\nlines";
  CHECK(f.ask(send) == GatewayReply{.problem = GatewayProblem::not_sent, .failed = 3});
  CHECK(f.doors[0]->complaints.size() == 3);
}

TEST_CASE("uids, groups and sessions are set from outside, and the client's worker knows them") {
  Street f;
  const std::string id = id_of(101, 1);
  CHECK(f.name(GatewayVerb::bind_uid, "ann", {id, id_of(101, 3)}) == GatewayReply{.count = 2});
  CHECK(f.name(GatewayVerb::join_group, "room", {id}) == GatewayReply{.count = 1});
  GatewayRequest set = to_clients(GatewayVerb::set_session, {id});
  set.body = "s\xff";
  set.expected = 0;
  const GatewayReply stored = f.ask(set);
  CHECK(stored.count == 1);
  CHECK(stored.version > 0);
  CHECK(f.ask(set) ==
        GatewayReply{.problem = GatewayProblem::conflict, .failed = 1, .version = stored.version});
  f.clients[0].send("x\n");
  REQUIRE(f.tells(f.worker, "connect connect connect x "));
  CHECK(f.worker.told.back().uid == "ann");
  CHECK(f.worker.told.back().session == "s\xff");
  GatewayReply expected{.count = 1};
  expected.clients = {{id, "ann", stored.version, "s\xff"}};
  CHECK(f.ask(to_clients(GatewayVerb::session, {id})) == expected);
  expected = {.count = 3};
  expected.names = {{"ann", 2}};
  CHECK(f.ask(to_all(GatewayVerb::uids)) == expected);
  expected = {.count = 2};
  expected.names = {{"room", 1}};
  CHECK(f.ask(to_clients(GatewayVerb::groups, {id, id_of(101, 2)})) == expected);
  CHECK(f.ask(to_group(GatewayVerb::count, "room")) == GatewayReply{.count = 1});
  CHECK(f.name(GatewayVerb::leave_group, "room", {id}) == GatewayReply{.count = 1});
  CHECK(f.ask(to_clients(GatewayVerb::unbind_uid, {id})) == GatewayReply{.count = 1});
  CHECK(f.ask(to_group(GatewayVerb::count, "room")) == GatewayReply{});
}

TEST_CASE(
    "of clients of other gateway workers one has nothing to say, and of those that are gone") {
  Street f;
  for (const std::string& id : {id_of(102, 1), id_of(101, 77)}) {
    for (const GatewayVerb verb : {GatewayVerb::destroy, GatewayVerb::unbind_uid,
                                   GatewayVerb::session, GatewayVerb::count}) {
      CHECK(f.ask(to_clients(verb, {id})) == GatewayReply{});
    }
  }
  CHECK(f.ask(to_all(GatewayVerb::count)) == GatewayReply{.count = 3});
}

TEST_CASE("clients are closed and groups emptied from outside, and their worker is told") {
  Street f;
  f.name(GatewayVerb::join_group, "room", {id_of(101, 2), id_of(101, 3)});
  GatewayRequest ungroup = to_all(GatewayVerb::ungroup);
  ungroup.name = "room";
  CHECK(f.ask(ungroup) == GatewayReply{.count = 2});
  CHECK(f.ask(ungroup) == GatewayReply{});
  CHECK(f.ask(to_clients(GatewayVerb::close, {id_of(101, 1)})) == GatewayReply{.count = 1});
  CHECK(f.ask(to_clients(GatewayVerb::destroy, {id_of(101, 2)})) == GatewayReply{.count = 1});
  CHECK(f.tells(f.worker, "connect connect connect close close "));
}

TEST_CASE("a client that is in too many groups joins no more, and it is told") {
  Street f;
  for (std::size_t i = 0; i < gateway::ClientTable::kMaxGroups; ++i)
    f.name(GatewayVerb::join_group, "room " + std::to_string(i), {id_of(101, 1)});
  CHECK(f.name(GatewayVerb::join_group, "one more", {id_of(101, 1), id_of(101, 2)}) ==
        GatewayReply{.problem = GatewayProblem::full, .count = 1, .failed = 1});
}

TEST_CASE("an answer that is too large is none, in words") {
  Street f;
  for (int i = 0; i < 40; ++i) f.clients.push_back(f.doors[0]->connect());
  REQUIRE(f.until([&] { return f.doors[0]->gate.counts().clients == 43; }));
  for (std::uint64_t serial = 1; serial <= 43; ++serial) {
    GatewayRequest set = to_clients(GatewayVerb::set_session, {id_of(101, serial)});
    set.body = std::string(control::kMaxGatewaySession, 'x');
    REQUIRE(f.ask(set).count == 1);
  }
  GatewayRequest clients = to_all(GatewayVerb::clients);
  CHECK(f.ask(clients).clients.size() == 43);
  clients.sessions = true;
  CHECK(f.ask(clients) == GatewayReply{.problem = GatewayProblem::too_large, .count = 43});
  // Just within the bound as bytes, and over it as JSON.
  GatewayRequest some = to_clients(GatewayVerb::session, {});
  for (std::uint64_t serial = 1; serial <= 16; ++serial) some.of.push_back(id_of(101, serial));
  const std::string json =
      gateway::answer_outside(f.doors[0]->gate, boost::json::serialize(control::to_json(some)));
  CHECK(json.size() < control::kMaxGatewayAnswer);
  CHECK(control::gateway_reply_from_json(control::parse_json(json)) ==
        GatewayReply{.problem = GatewayProblem::too_large, .count = 16});
}

TEST_CASE("what is no request is refused, and nothing is done") {
  Street f;
  for (const char* wrong : {"", "{}", "x", R"({"gateway": "doors", "verb": "destroy"})"})
    CHECK_THROWS_AS(gateway::answer_outside(f.doors[0]->gate, wrong), control::BadJson);
  CHECK(f.doors[0]->gate.counts().clients == 3);
}
