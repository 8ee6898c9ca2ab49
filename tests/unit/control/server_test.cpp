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
      .stream(
          "/v1/reload", to_json(ReloadRequest{{"hello"}, true}), kTimeout,
          [&](std::string_view line) { kinds.push_back(event_from_json(parse_json(line)).kind); });
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
      ++lines;
    });
  };
  REQUIRE_NOTHROW(reload());
  REQUIRE(lines == 1);
  daemon.on_loop([&] {
    daemon.commands.on_reload = [](const ReloadRequest&, const std::shared_ptr<EventStream>&) {};
  });
  REQUIRE_THROWS_AS(reload(), Refused);
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
      client.stream("/v1/reload", json::object(), kTimeout, [](std::string_view) {}),
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
  for (const char* target : {"/v1/reload", "/v1/restart", "/v1/stop"}) {
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
      .stream("/v1/reload", json::object(), kTimeout, [&](std::string_view line) { last = line; });
  REQUIRE(event_from_json(parse_json(last)).result == RolloutResult::stopped);
}

TEST_CASE("after stop_accepting callers find no daemon while open connections go on") {
  FakeDaemon daemon;
  RawClient before(daemon.socket());
  daemon.until([&] { return daemon.server().connections() == 1; });
  daemon.on_loop([&] { daemon.server().stop_accepting(); });
  REQUIRE_THROWS_AS(Client(daemon.socket()).get("/v1/version", kTimeout), NoDaemon);
  before.send("GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n");
  REQUIRE_THAT(before.read_until(), Catch::Contains("1.2.3"));
}

TEST_CASE("a server can follow another on the same path at once") {
  FakeDaemon daemon;
  daemon.on_loop([&] {
    daemon.destroy_server_here();
    daemon.create_server_here();
  });
  REQUIRE_NOTHROW(Client(daemon.socket()).get("/v1/version", kTimeout));
}
