#include "control/server.hpp"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <catch2/catch.hpp>

#include "control/client.hpp"
#include "control/socket_file.hpp"
#include "fake_daemon.hpp"
#include "raw_client.hpp"

using namespace appserver::control;

namespace json = boost::json;

namespace {

constexpr std::chrono::seconds kTimeout{20};

ServerOptions as_stranger() {
  ServerOptions options;
  options.credentials = [](int) { return Credentials{.uid = ::geteuid() + 1, .gid = 1, .pid = 1}; };
  return options;
}

}  // namespace

TEST_CASE("the status comes back as it was given") {
  FakeDaemon daemon;
  const Client client(daemon.socket());
  REQUIRE(status_from_json(parse_json(client.get("/v1/status", kTimeout))) == sample_status());
  REQUIRE(version_from_json(parse_json(client.get("/v1/version", kTimeout))) ==
          Version{"1.2.3", ::getpid()});
}

TEST_CASE("a reload hands over its groups and the caller, and its events arrive in order") {
  FakeDaemon daemon;
  ReloadRequest asked;
  daemon.commands.on_reload = [&](const ReloadRequest& request,
                                  const std::shared_ptr<EventStream>& events) {
    asked = request;
    events->send({.kind = EventKind::rollout_started, .rollout = "r-1"});
    events->send(done_event(RolloutResult::rolled_back));
    events->send({.text = "too late"});
  };
  std::vector<EventKind> kinds;
  Client(daemon.socket())
      .stream("/v1/reload", to_json(ReloadRequest{{"hello"}, true}), kTimeout,
              [&](std::string_view line) {
                kinds.push_back(event_from_json(parse_json(line)).kind);
                return true;
              });
  REQUIRE(kinds == std::vector{EventKind::rollout_started, EventKind::done});
  REQUIRE(asked == ReloadRequest{{"hello"}, true});
  const auto peer = daemon.on_loop([&] { return daemon.commands.last_peer; });
  REQUIRE(peer->pid == ::getpid());
  REQUIRE(peer->uid == ::getuid());
  REQUIRE(peer->may_operate);
}

TEST_CASE("an event is on its way before the next one happens") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_restart = [&](const RestartRequest&, std::shared_ptr<EventStream> events) {
    events->send({.text = "first"});
    stream = std::move(events);
  };
  std::vector<std::string> texts;
  // The second event is sent only once the first was seen, so a server that collects would never
  // end.
  Client(daemon.socket())
      .stream("/v1/restart", to_json(RestartRequest{"hello"}), kTimeout,
              [&](std::string_view line) {
                texts.push_back(event_from_json(parse_json(line)).text);
                if (texts.size() == 1)
                  daemon.on_loop([&] { stream->send(done_event(RolloutResult::done, "second")); });
                return true;
              });
  REQUIRE(texts == std::vector<std::string>{"first", "second"});
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("a stream let go without done breaks off, and one that never began is an error") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [](const ReloadRequest&, const std::shared_ptr<EventStream>& events) {
    events->send({.text = "started"});
  };
  int lines = 0;
  const auto reload = [&] {
    Client(daemon.socket()).stream("/v1/reload", json::object(), kTimeout, [&](std::string_view) {
      return ++lines > 0;
    });
  };
  REQUIRE_NOTHROW(reload());
  REQUIRE(lines == 1);
  daemon.on_loop([&] {
    daemon.commands.on_reload = [](const ReloadRequest&, const std::shared_ptr<EventStream>&) {};
  });
  REQUIRE_THROWS_AS(reload(), Refused);
}

TEST_CASE(
    "a rollback, a scaling and a drain hand over what was asked for and stream their events") {
  FakeDaemon daemon;
  RollbackRequest rollback;
  ScaleRequest scale;
  DrainRequest drain;
  const auto take = [](auto& into) {
    return [&into](const auto& request, const std::shared_ptr<EventStream>& events) {
      into = request;
      events->send({.text = "begun"});
      events->send(done_event(RolloutResult::done));
    };
  };
  daemon.commands.on_rollback = take(rollback);
  daemon.commands.on_scale = take(scale);
  daemon.commands.on_drain = take(drain);
  const Client client(daemon.socket());
  int lines = 0;
  const auto ask = [&](const char* target, const json::value& body) {
    client.stream(target, body, kTimeout, [&](std::string_view) { return ++lines > 0; });
  };
  ask("/v1/rollback", to_json(RollbackRequest{41, "hello", true}));
  ask("/v1/scale", to_json(ScaleRequest{"hello", 4}));
  ask("/v1/drain", to_json(DrainRequest{"hello", 3}));
  REQUIRE(lines == 6);
  REQUIRE(rollback == RollbackRequest{41, "hello", true});
  REQUIRE(scale == ScaleRequest{"hello", 4});
  REQUIRE(drain == DrainRequest{"hello", 3});
}

TEST_CASE("the rollout can be looked at, followed, aborted, let go on and confirmed") {
  FakeDaemon daemon;
  daemon.commands.on_watch = [](const std::shared_ptr<EventStream>& events) {
    events->send({.text = "what was"});
    events->send(done_event(RolloutResult::partial, "the end"));
  };
  const Client client(daemon.socket());
  const json::value shown = parse_json(client.get("/v1/rollout", kTimeout));
  REQUIRE(rollout_from_json(shown.at("rollout")) == sample_rollout());
  std::vector<std::string> texts;
  client.watch("/v1/rollout/events", kTimeout, [&](std::string_view line) {
    texts.push_back(event_from_json(parse_json(line)).text);
    return true;
  });
  REQUIRE(texts == std::vector<std::string>{"what was", "the end"});
  REQUIRE(client.post("/v1/rollout/abort", json::object(), kTimeout) ==
          "{\"text\":\"r-12 goes back\"}\n");
  REQUIRE(client.post("/v1/rollout/proceed", json::object(), kTimeout) ==
          "{\"text\":\"r-12 goes on\"}\n");
  REQUIRE(client.post("/v1/rollout/confirm", json::object(), kTimeout) ==
          "{\"text\":\"release 43 stays\"}\n");
  REQUIRE(daemon.on_loop([&] { return daemon.commands.last_peer->uid; }) == ::getuid());
  REQUIRE_THROWS_WITH(client.post("/v1/rollout/abort", json::object{{"id", "r-12"}}, kTimeout),
                      Catch::Contains("id: unknown key"));
}

TEST_CASE("before the first rollout there is none to look at or follow") {
  FakeDaemon daemon;
  daemon.on_loop([&] { daemon.commands.on_rollout = [] { return std::nullopt; }; });
  const Client client(daemon.socket());
  REQUIRE(client.get("/v1/rollout", kTimeout) == "{\"rollout\":null}\n");
  RawClient raw(daemon.socket());
  raw.send("GET /v1/rollout/events HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE_THAT(raw.read_until(), Catch::StartsWith("HTTP/1.1 409 ") &&
                                     Catch::Contains("no rollout since the daemon started"));
}

TEST_CASE("the history and the crashes are told, the stacks and output only one by one") {
  FakeDaemon daemon;
  const Client client(daemon.socket());
  const json::value history = parse_json(client.get("/v1/history", kTimeout));
  REQUIRE(history.at("releases").as_array().size() == 3);
  REQUIRE(release_from_json(history.at("releases").at(1)) == sample_history()[1]);
  const json::value crashes = parse_json(client.get("/v1/crashes", kTimeout));
  CrashRecord brief = sample_crash();
  brief.stack.clear();
  brief.output.clear();
  REQUIRE(crashes.at("crashes").as_array().size() == 1);
  REQUIRE(crash_from_json(crashes.at("crashes").at(0)) == brief);
  REQUIRE(crash_from_json(parse_json(client.get("/v1/crashes/18", kTimeout))) == sample_crash());
  REQUIRE_THROWS_WITH(
      client.get("/v1/crashes/17", kTimeout),
      "there is no record of a crash 17; `appserverctl crashes` lists those that are kept");
}

TEST_CASE("what does not fit the state of things is answered 409, with a way out") {
  FakeDaemon daemon;
  const auto conflict = [](auto&&...) -> std::string { throw Conflict("nothing to confirm"); };
  daemon.commands.on_confirm = conflict;
  daemon.commands.on_rollback = [](auto&&...) { throw Conflict("no release 99"); };
  daemon.commands.on_scale = [](auto&&...) { throw Conflict("no group x"); };
  const Client client(daemon.socket());
  const auto refusal = [&](const char* target, const json::value& body) {
    try {
      client.post(target, body, kTimeout);
      return std::string("not refused");
    } catch (const Refused& error) {
      REQUIRE(error.http_status() == 409);
      return std::string(error.what());
    }
  };
  REQUIRE(refusal("/v1/rollout/confirm", json::object()) ==
          "nothing to confirm; `appserverctl reload status` tells of the last rollout");
  REQUIRE(refusal("/v1/rollback", to_json(RollbackRequest{99})) ==
          "no release 99; `appserverctl history` lists the releases");
  REQUIRE(refusal("/v1/scale", to_json(ScaleRequest{"x", 1})) ==
          "no group x; `appserverctl status` shows what runs");
}

TEST_CASE("a conflict after the first event only ends the answer") {
  FakeDaemon daemon;
  daemon.commands.on_rollback = [](const auto&, const std::shared_ptr<EventStream>& events) {
    events->send({.text = "begun"});
    throw Conflict("too late");
  };
  std::string all;
  REQUIRE_NOTHROW(Client(daemon.socket())
                      .stream("/v1/rollback", json::object(), kTimeout, [&](std::string_view line) {
                        all += line;
                        return true;
                      }));
  REQUIRE_THAT(all, Catch::Contains("begun") && !Catch::Contains("too late"));
}

TEST_CASE("an exception from a command is an answer, not the end of the daemon") {
  FakeDaemon daemon;
  daemon.commands.on_status = []() -> Status { throw std::runtime_error("no memory page"); };
  daemon.commands.on_reload = [](const ReloadRequest&, const std::shared_ptr<EventStream>&) {
    throw std::runtime_error("no groups");
  };
  const Client client(daemon.socket());
  REQUIRE_THROWS_WITH(client.get("/v1/status", kTimeout), Catch::StartsWith("no memory page"));
  REQUIRE_THROWS_WITH(
      client.stream("/v1/reload", json::object(), kTimeout, [](std::string_view) { return true; }),
      Catch::StartsWith("no groups"));
}

TEST_CASE("a stop is answered before it happens, though the server goes with it") {
  FakeDaemon daemon;
  StopRequest asked;
  daemon.commands.on_stop = [&](const StopRequest& request) {
    asked = request;
    daemon.destroy_server_here();
  };
  REQUIRE(Client(daemon.socket()).post("/v1/stop", to_json(StopRequest{true}), kTimeout) ==
          "{\"stopping\":true,\"fast\":true}\n");
  REQUIRE(daemon.on_loop([&] { return asked; }) == StopRequest{true});
  REQUIRE_THROWS_AS(Client(daemon.socket()).get("/v1/version", kTimeout), NoDaemon);
}

TEST_CASE("a caller who is neither root nor the daemon's user only reads") {
  FakeDaemon daemon(as_stranger());
  const Client client(daemon.socket());
  REQUIRE_NOTHROW(client.get("/v1/status", kTimeout));
  for (const char* target : {"/v1/rollout", "/v1/history", "/v1/crashes"}) {
    REQUIRE_NOTHROW(client.get(target, kTimeout));
  }
  REQUIRE_THROWS_WITH(client.get("/v1/crashes/18", kTimeout),
                      Catch::Contains("may not see what a plugin has printed"));
  for (const char* target :
       {"/v1/reload", "/v1/restart", "/v1/rollback", "/v1/scale", "/v1/drain", "/v1/rollout/abort",
        "/v1/rollout/proceed", "/v1/rollout/confirm", "/v1/stop"}) {
    REQUIRE_THROWS_WITH(client.post(target, json::object(), kTimeout),
                        Catch::Contains("may look but not change"));
  }
  REQUIRE_FALSE(daemon.on_loop([&] { return daemon.commands.last_peer; }));
}

TEST_CASE("bad requests are told what is wrong") {
  FakeDaemon daemon;
  const Client client(daemon.socket());
  REQUIRE_THROWS_WITH(client.get("/v2/status", kTimeout), Catch::Contains("GET /v1/status"));
  REQUIRE_THROWS_WITH(client.get("/v1/stop", kTimeout), Catch::Contains("use POST /v1/stop"));
  REQUIRE_THROWS_WITH(client.post("/v1/reload", json::object{{"forse", true}}, kTimeout),
                      Catch::Contains("forse: unknown key"));
  RawClient raw(daemon.socket());
  raw.send("GET /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE_THAT(raw.read_until(),
               Catch::StartsWith("HTTP/1.1 405 ") && Catch::Contains("\r\nAllow: POST\r\n"));
}

TEST_CASE(
    "a caller of HTTP/1.0 gets bare lines, and one that has ended its side is still answered") {
  FakeDaemon daemon;
  RawClient client(daemon.socket());
  client.send("POST /v1/reload HTTP/1.0\r\n\r\n");
  client.end_sending();
  const std::string answer = client.read_until();
  REQUIRE_THAT(answer, !Catch::Contains("chunked"));
  REQUIRE_THAT(answer, Catch::EndsWith("\"exit_code\":0}\n"));
}

TEST_CASE("the server may go with connections in every state, and a stream may outlive it") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    events->send({.text = "begun"});
    stream = std::move(events);
  };
  RawClient silent(daemon.socket());
  RawClient half(daemon.socket());
  half.send("POST /v1/reload HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  RawClient streaming(daemon.socket());
  streaming.send("POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  streaming.read_until("begun");
  daemon.until([&] { return daemon.server().connections() == 3; });
  daemon.destroy_server();
  REQUIRE(silent.read_until().empty());
  REQUIRE(half.read_until().empty());
  daemon.on_loop([&] {
    stream->send({.text = "nobody hears"});
    stream.reset();
  });
}

TEST_CASE("the last word of a rollout arrives though the server goes right after") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [&](const ReloadRequest&,
                                  const std::shared_ptr<EventStream>& events) {
    events->send(done_event(RolloutResult::stopped, "stopping"));
    daemon.destroy_server_here();
  };
  std::string last;
  Client(daemon.socket())
      .stream("/v1/reload", json::object(), kTimeout, [&](std::string_view line) {
        last = line;
        return true;
      });
  REQUIRE(event_from_json(parse_json(last)).result == RolloutResult::stopped);
}

TEST_CASE("a server can follow another on the same path at once") {
  FakeDaemon daemon;
  daemon.on_loop([&] {
    daemon.destroy_server_here();
    daemon.create_server_here();
  });
  REQUIRE_NOTHROW(Client(daemon.socket()).get("/v1/version", kTimeout));
}

TEST_CASE("what is asked of a gateway arrives, and its answer comes back when it is there") {
  FakeDaemon daemon;
  std::optional<GatewayRequest> asked;
  Commands::GatewayDone done;
  daemon.commands.on_gateway = [&](const GatewayRequest& request, const auto& answer) {
    asked = request;
    done = answer;
  };
  GatewayRequest request{.gateway = "gate", .verb = GatewayVerb::count};
  auto body = std::async(std::launch::async, [&] {
    return Client(daemon.socket()).post("/v1/gateway", to_json(request), kTimeout);
  });
  daemon.until([&] { return asked.has_value(); });
  daemon.on_loop([&] { done({.partial = true, .count = 7}); });
  REQUIRE(*asked == request);
  REQUIRE(gateway_reply_from_json(parse_json(body.get())) ==
          GatewayReply{.partial = true, .count = 7});
}

TEST_CASE("an answer of a gateway that comes when its caller, or the server, has gone is dropped") {
  FakeDaemon daemon;
  Commands::GatewayDone done;
  daemon.commands.on_gateway = [&](const GatewayRequest&, const auto& answer) { done = answer; };
  const GatewayRequest request{.gateway = "gate", .verb = GatewayVerb::count};
  REQUIRE_THROWS_AS(
      Client(daemon.socket()).post("/v1/gateway", to_json(request), std::chrono::milliseconds(50)),
      TimedOut);
  daemon.until([&] { return done && daemon.server().connections() == 0; });
  daemon.on_loop([&] { done({.count = 7}); });
  daemon.destroy_server();
  daemon.on_loop([&] { done({.count = 7}); });
}

TEST_CASE("what is refused of a gateway has its own status and words") {
  FakeDaemon daemon(as_stranger());
  daemon.commands.on_gateway = [](const GatewayRequest&, const auto&) {
    throw Rejection(403, {"uid 7 may not push", "ask for it"});
  };
  const GatewayRequest request{.gateway = "gate", .verb = GatewayVerb::count};
  try {
    Client(daemon.socket()).post("/v1/gateway", to_json(request), kTimeout);
    FAIL("it was not refused");
  } catch (const Refused& refused) {
    CHECK(refused.http_status() == 403);
    CHECK(refused.what() == std::string("uid 7 may not push; ask for it"));
  }
  CHECK_FALSE(daemon.on_loop([&] { return daemon.commands.last_peer; })->may_operate);
  CHECK_THROWS_WITH(
      Client(daemon.socket()).post("/v1/gateway", json::object{{"verb", "shout"}}, kTimeout),
      Catch::Contains("known: send, close") && Catch::Contains("\"scope\": \"groups\""));
}

TEST_CASE("an answer of a gateway that never comes is told") {
  FakeDaemon daemon;
  daemon.commands.on_gateway = [](const GatewayRequest&, const auto&) {};
  const GatewayRequest request{.gateway = "gate", .verb = GatewayVerb::count};
  CHECK_THROWS_WITH(Client(daemon.socket()).post("/v1/gateway", to_json(request), kTimeout),
                    Catch::Contains("the daemon gave no answer"));
}
