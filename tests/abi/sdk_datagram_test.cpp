#include <appserver/datagram.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

// What a host's table keeps of the calls, and what it answers.
struct Calls {
  std::vector<std::string> sent;
  int held = 0;
  std::int32_t result = APPSERVER_OK;
};

Calls& calls_of(appserver_worker* worker) {
  return *static_cast<Calls*>(static_cast<void*>(worker));
}

const appserver_udp_host kHost{
    sizeof(appserver_udp_host), 0,
    [](appserver_worker* worker, const appserver_udp_peer*, appserver_str data) noexcept {
      if (calls_of(worker).result == APPSERVER_OK)
        calls_of(worker).sent.emplace_back(data.data, data.size);
      return calls_of(worker).result;
    },
    [](appserver_worker* worker) noexcept {
      if (calls_of(worker).result == APPSERVER_OK) ++calls_of(worker).held;
      return calls_of(worker).result;
    },
    [](appserver_worker* worker) noexcept {
      --calls_of(worker).held;
      return std::int32_t{APPSERVER_OK};
    }};

struct Given {
  Calls calls;
  appserver_datagram raw{sizeof(appserver_datagram), 1, {"hi", 2}, {"a:1", 3},
                         {"udp://b:2", 9},           {}};
  appserver::Datagram datagram{&kHost, static_cast<appserver_worker*>(static_cast<void*>(&calls)),
                               raw};
};

}  // namespace

TEST_CASE("a datagram says what came, from where, and where it came in") {
  const Given given;
  CHECK(given.datagram.data() == "hi");
  CHECK(given.datagram.truncated());
  CHECK(given.datagram.remote() == "a:1");
  CHECK(given.datagram.listener() == "udp://b:2");
}

TEST_CASE("a reply says whether the kernel took it") {
  Given given;
  CHECK(given.datagram.reply("one"));
  given.calls.result = APPSERVER_LIMIT;
  CHECK_FALSE(given.datagram.reply("two"));
  given.calls.result = APPSERVER_INVALID;
  CHECK_THROWS_AS(given.datagram.reply("three"), std::invalid_argument);
  CHECK(given.calls.sent == std::vector<std::string>{"one"});
}

TEST_CASE("a peer outlives its datagram, and nobody takes nothing") {
  Given given;
  const appserver::Peer peer = given.datagram.peer();
  CHECK(peer.send("later"));
  CHECK(given.calls.sent == std::vector<std::string>{"later"});
  CHECK_FALSE(appserver::Peer().send("x"));
}

TEST_CASE("a pending reply is held once, wherever it is moved, until its end") {
  Given given;
  {
    appserver::PendingReply reply = given.datagram.defer();
    appserver::PendingReply moved = std::move(reply);
    CHECK(given.calls.held == 1);
    CHECK(moved.send("x"));
    moved = appserver::PendingReply(given.datagram.peer());
    CHECK(given.calls.held == 1);
    moved.drop();
    CHECK(given.calls.held == 0);
  }
  CHECK(given.calls.held == 0);
  given.calls.result = APPSERVER_LIMIT;
  CHECK_THROWS_AS(given.datagram.defer(), std::runtime_error);
  CHECK(given.calls.held == 0);
}
