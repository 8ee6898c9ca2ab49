#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <boost/json/object.hpp>
#include <catch2/catch.hpp>
#include <list>

#include "control/client.hpp"
#include "control/server.hpp"
#include "fake_daemon.hpp"
#include "os/fd.hpp"
#include "raw_client.hpp"

using namespace appserver::control;

namespace {

constexpr std::chrono::seconds kTimeout{20};

ServerOptions impatient() {
  ServerOptions options;
  options.request_timeout = std::chrono::milliseconds(100);
  options.write_timeout = std::chrono::milliseconds(100);
  return options;
}

void require_alive(FakeDaemon& daemon) {
  REQUIRE_NOTHROW(Client(daemon.socket()).get("/v1/version", kTimeout));
}

}  // namespace

TEST_CASE("garbage is answered 400") {
  FakeDaemon daemon;
  for (const std::string_view garbage :
       {std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7), std::string_view("reload\r\n\r\n"),
        std::string_view("GET /v1/status HTTP/9.9\r\n\r\n"),
        std::string_view("POST /v1/stop HTTP/1.1\r\nContent-Length: x\r\n\r\n")}) {
    RawClient client(daemon.socket());
    client.send(garbage);
    client.end_sending();
    REQUIRE_THAT(client.read_until(),
                 Catch::StartsWith("HTTP/1.1 400 ") && Catch::Contains("\"error\":"));
  }
  require_alive(daemon);
}

TEST_CASE("a body that is not the expected JSON is answered 400") {
  FakeDaemon daemon;
  for (const std::string& body :
       {std::string("{"), std::string("[]"), std::string("\xff\xfe"), std::string(30'000, '[')}) {
    RawClient client(daemon.socket());
    client.send(
        fmt::format("POST /v1/reload HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
    REQUIRE_THAT(client.read_until(), Catch::StartsWith("HTTP/1.1 400 "));
  }
  require_alive(daemon);
}

TEST_CASE("an endless header line is cut off early") {
  FakeDaemon daemon;
  RawClient client(daemon.socket());
  REQUIRE(client.send("GET /v1/status HTTP/1.1\r\nX: "));
  const std::string part(64 * 1024, 'x');
  std::size_t sent = 0;
  while (sent < (1u << 30) && client.send(part)) sent += part.size();
  // What the kernel buffers comes on top of what the server reads.
  REQUIRE(sent < (8u << 20));
  REQUIRE_THAT(client.read_until(), Catch::StartsWith("HTTP/1.1 431 "));
  require_alive(daemon);
}

TEST_CASE("a body over the limit is answered 413 before it is sent") {
  FakeDaemon daemon;
  RawClient client(daemon.socket());
  client.send("POST /v1/reload HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n");
  REQUIRE_THAT(client.read_until(), Catch::StartsWith("HTTP/1.1 413 "));
  RawClient chunked(daemon.socket());
  chunked.send("POST /v1/reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n");
  chunked.send(std::string(0x20000, ' '));
  REQUIRE_THAT(chunked.read_until(), Catch::StartsWith("HTTP/1.1 413 "));
  require_alive(daemon);
}

TEST_CASE("a message to clients may be a megabyte, and no other request, nor two of them") {
  FakeDaemon daemon;
  const GatewayRequest fits{.gateway = "gate",
                            .verb = GatewayVerb::send,
                            .body = std::string(kMaxGatewayMessage, '\xff'),
                            .binary = true};
  REQUIRE_NOTHROW(Client(daemon.socket()).post("/v1/gateway", to_json(fits), kTimeout));
  for (const std::string target : {"/v1/gateway", "/v1/gateway?x", "/v1/reload"}) {
    RawClient client(daemon.socket());
    const std::size_t size = target == "/v1/gateway" ? kMaxGatewayRequest + 1 : 0x10001;
    client.send(fmt::format("POST {} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", target, size));
    REQUIRE_THAT(client.read_until(), Catch::StartsWith("HTTP/1.1 413 "));
  }
  RawClient chunked(daemon.socket());
  chunked.send("POST /v1/gateway HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200001\r\n");
  chunked.send(std::string(kMaxGatewayRequest + 1, ' '));
  REQUIRE_THAT(chunked.read_until(), Catch::StartsWith("HTTP/1.1 413 "));
  require_alive(daemon);
}

TEST_CASE("a request that does not end is answered 408 at the deadline") {
  FakeDaemon daemon(impatient());
  RawClient silent(daemon.socket());
  RawClient unfinished(daemon.socket());
  unfinished.send("GET /v1/sta");
  REQUIRE_THAT(unfinished.read_until(), Catch::StartsWith("HTTP/1.1 408 "));
  REQUIRE_THAT(silent.read_until(), Catch::StartsWith("HTTP/1.1 408 "));
  daemon.until([&] { return daemon.server().connections() == 0; });
}

TEST_CASE("one connection too many is turned away at once, and there is room again when one goes") {
  ServerOptions options;
  options.request_timeout = std::chrono::hours(1);
  FakeDaemon daemon(std::move(options));
  std::list<RawClient> idle;
  for (int i = 0; i < 32; ++i) idle.emplace_back(daemon.socket());
  daemon.until([&] { return daemon.server().connections() == 32; });
  RawClient extra(daemon.socket());
  REQUIRE_THAT(extra.read_until(), Catch::StartsWith("HTTP/1.1 503 "));
  REQUIRE_THROWS_WITH(Client(daemon.socket()).get("/v1/status", kTimeout),
                      Catch::Contains("too many control connections"));
  idle.pop_front();
  daemon.until([&] { return daemon.server().connections() == 31; });
  require_alive(daemon);
}

TEST_CASE("readers who fill the server never lock out who may operate it") {
  ServerOptions options;
  options.request_timeout = std::chrono::hours(1);
  std::atomic<bool> stranger = true;
  options.credentials = [&](int) {
    return Credentials{.uid = ::geteuid() + (stranger ? 1 : 0), .gid = 1, .pid = 1};
  };
  FakeDaemon daemon(std::move(options));
  std::list<RawClient> readers;
  for (int i = 0; i < 24; ++i) readers.emplace_back(daemon.socket());
  daemon.until([&] { return daemon.server().connections() == 24; });
  RawClient extra(daemon.socket());
  REQUIRE_THAT(extra.read_until(), Catch::StartsWith("HTTP/1.1 503 "));
  stranger = false;
  std::list<RawClient> operators;
  for (int i = 0; i < 7; ++i) operators.emplace_back(daemon.socket());
  daemon.until([&] { return daemon.server().connections() == 31; });
  REQUIRE_NOTHROW(Client(daemon.socket()).post("/v1/stop", boost::json::object(), kTimeout));
}

TEST_CASE("a watcher who falls behind is dropped like any other reader") {
  FakeDaemon daemon;
  daemon.commands.on_watch = [](const std::shared_ptr<EventStream>& events) {
    for (int i = 0; i < 10'000; ++i) events->send({.text = std::string(1000, 'x')});
  };
  RawClient lazy(daemon.socket());
  lazy.send("GET /v1/rollout/events HTTP/1.1\r\nHost: x\r\n\r\n");
  daemon.until([&] { return daemon.commands.watched; });
  REQUIRE(daemon.on_loop([&] { return daemon.server().connections(); }) == 0);
  require_alive(daemon);
}

TEST_CASE("a caller who vanishes is noticed, and the rollout goes on without him") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    events->send({.text = "begun"});
    stream = std::move(events);
  };
  RawClient client(daemon.socket());
  client.send("POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_until("begun");
  client.close();
  daemon.until([&] { return daemon.server().connections() == 0; });
  daemon.on_loop([&] {
    for (int i = 0; i < 1000; ++i) stream->send({.text = std::string(1000, 'x')});
    stream->send(done_event(RolloutResult::done));
    stream.reset();
  });
  require_alive(daemon);
}

TEST_CASE("a reader who falls behind is dropped instead of filling the memory") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    stream = std::move(events);
  };
  RawClient lazy(daemon.socket());
  lazy.send("POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n");
  daemon.until([&] { return stream != nullptr; });
  daemon.on_loop([&] {
    for (int i = 0; i < 10'000; ++i) stream->send({.text = std::string(1000, 'x')});
    stream.reset();
  });
  REQUIRE(daemon.on_loop([&] { return daemon.server().connections(); }) == 0);
  require_alive(daemon);
}

TEST_CASE("a reader who takes nothing for the write timeout is dropped") {
  ServerOptions options = impatient();
  options.max_unread = 2u << 20;
  FakeDaemon daemon(std::move(options));
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    // More than the socket's buffer takes, but not more than may wait on our side.
    for (int sent = 0; sent < 900 * 1024; sent += 2000)
      events->send({.text = std::string(2000, 'x')});
    stream = std::move(events);
  };
  RawClient lazy(daemon.socket());
  lazy.send("POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n");
  daemon.until([&] { return stream != nullptr; });
  daemon.until([&] { return daemon.server().connections() == 0; });
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("without a free descriptor the daemon can still be asked") {
  FakeDaemon daemon;
  require_alive(daemon);
  std::optional<RawClient> client(daemon.socket());
  daemon.until([&] { return daemon.server().connections() == 1; });
  client->send("GET /v1/version HTTP/1.1\r\n\r\n");
  client->read_until();
  daemon.until([&] { return daemon.server().connections() == 0; });
  client.reset();

  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const appserver::os::Fd probe(::dup(0));
  REQUIRE(probe);
  std::vector<appserver::os::Fd> hoard;
  const ::rlimit tight{static_cast<::rlim_t>(probe.get()) + 16, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) hoard.emplace_back(fd);
  // One for the caller himself; the server has only its reserve.
  hoard.pop_back();
  std::string answer;
  {
    RawClient asker(daemon.socket());
    asker.send("GET /v1/version HTTP/1.1\r\n\r\n");
    answer = asker.read_until();
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_THAT(answer, Catch::StartsWith("HTTP/1.1 200 "));
}
