#include "net/proxy_gate.hpp"

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http_server_harness.hpp"
#include "net/proxy_protocol.hpp"
#include "proxy_headers.hpp"

using namespace appserver;
using namespace appserver::test;
using net::Handed;
using net::ProxyGate;

namespace {

constexpr std::string_view kLine = "PROXY TCP4 192.0.2.1 198.51.100.2 5123 443\r\n";

std::vector<os::AddressRange> ranges(std::initializer_list<const char*> texts) {
  std::vector<os::AddressRange> result;
  std::string hint;
  for (const char* const text : texts) result.push_back(*os::AddressRange::parse(text, hint));
  return result;
}

std::string unread_of(const os::Fd& socket) {
  std::array<char, 65'536> buffer;
  const auto got = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string();
}

struct Gated {
  explicit Gated(std::vector<os::AddressRange> trusted = ranges({"127.0.0.0/8", "unix"}))
      : gate(context, std::move(trusted), std::chrono::milliseconds(1'000), page,
             {[this](Handed fresh, const auto&) { passed.push_back(std::move(fresh)); },
              [this](const std::string& what) { complaints.push_back(what); },
              [this] { ++fewer; }}) {}

  Client connect() {
    auto [served, client] = tcp_pair();
    gate.accept(std::move(served), listener);
    return Client(std::move(client));
  }

  template <typename State>
  bool until(State&& state) {
    return run_until(context, state);
  }
  bool closes(Client& client) {
    return until([&] {
      client.read_all();
      return client.closed;
    });
  }
  void pass(std::chrono::milliseconds time) {
    for (auto left = time; left.count() > 0; left -= net::TimerWheel::kTick) {
      gate.tick();
      settle(context);
    }
  }

  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  std::vector<Handed> passed;
  std::vector<std::string> complaints;
  int fewer = 0;
  std::shared_ptr<const net::StreamListener> listener = [] {
    net::StreamListener made{"text://*:1", "text"};
    made.behind_proxy = true;
    return std::make_shared<const net::StreamListener>(made);
  }();
  ProxyGate gate;
};

}  // namespace

TEST_CASE("a connection passes with its ends, and what is behind its header stays unread") {
  const std::string header =
      GENERATE(std::string(kLine),
               binary(0x21, 0x11, std::string("\xC0\0\2\1\xC6\x33\x64\2", 8) + "\x14\x03\x01\xBB"));
  Gated gated;
  Client client = gated.connect();
  CHECK(gated.gate.connections() == 1);
  CHECK(gated.page.connections.get() == 1);
  const std::string behind = GENERATE(std::string(), std::string("hello\n"),
                                      std::string(kLine) + std::string(10'000, 'x'));
  client.send(header + behind);
  REQUIRE(gated.until([&] { return gated.passed.size() == 1; }));
  CHECK(gated.passed[0].ends == net::Ends{"192.0.2.1:5123", "198.51.100.2:443"});
  CHECK(gated.passed[0].received.empty());
  CHECK(unread_of(gated.passed[0].connection) == behind);
  CHECK(gated.gate.connections() == 0);
  CHECK(gated.page.connections.get() == 0);
  CHECK(gated.fewer == 1);
  CHECK(gated.complaints.empty());
}

TEST_CASE("a header in pieces of one byte is as good as one in a whole") {
  Gated gated;
  Client client = gated.connect();
  for (const char byte : std::string(kLine) + "h") {
    client.send(std::string_view(&byte, 1));
    settle(gated.context);
  }
  REQUIRE(gated.until([&] { return gated.passed.size() == 1; }));
  CHECK(gated.passed[0].ends.remote == "192.0.2.1:5123");
  CHECK(unread_of(gated.passed[0].connection) == "h");
}

TEST_CASE("a connection of LOCAL or UNKNOWN passes with nothing told of its ends") {
  Gated gated;
  Client client = gated.connect();
  const std::string header = GENERATE(std::string("PROXY UNKNOWN\r\n"), binary(0x20, 0, ""));
  client.send(header);
  REQUIRE(gated.until([&] { return gated.passed.size() == 1; }));
  CHECK(gated.passed[0].ends == net::Ends{});
}

TEST_CASE("what is no header is closed, counted and told with the peer's own address") {
  Gated gated;
  Client client = gated.connect();
  const std::string peer = "127.0.0.1:";
  client.send("GET / HTTP/1.1\r\n");
  REQUIRE(gated.closes(client));
  CHECK(gated.page.refused.get() == 1);
  REQUIRE(gated.complaints.size() == 1);
  CHECK(gated.complaints[0].find("a connection from 127.0.0.1:") == 0);
  CHECK(
      gated.complaints[0].find(" to text://*:1 is closed: it does not begin with a PROXY header") !=
      std::string::npos);
  CHECK(gated.passed.empty());
  CHECK(gated.gate.connections() == 0);
}

TEST_CASE("nobody but those who are trusted may connect, with whatever header") {
  Gated gated(ranges({"10.0.0.0/8", "unix"}));
  Client client = gated.connect();
  CHECK(gated.gate.connections() == 0);
  REQUIRE(gated.closes(client));
  CHECK(gated.page.refused.get() == 1);
  REQUIRE(gated.complaints.size() == 1);
  CHECK(gated.complaints[0].find("is none of proxy_protocol_from") != std::string::npos);
  CHECK(gated.page.connections.get() == 0);

  auto [served, other] = os::make_socket_pair(SOCK_STREAM);
  gated.gate.accept(std::move(served), gated.listener);
  Client local(std::move(other));
  local.send(kLine);
  CHECK(gated.until([&] { return gated.passed.size() == 1; }));
}

TEST_CASE("a header has its time in all, however often a byte of it comes") {
  Gated gated;
  Client silent = gated.connect();
  Client slow = gated.connect();
  for (const char byte : kLine.substr(0, 8)) {
    slow.send(std::string_view(&byte, 1));
    gated.pass(std::chrono::milliseconds(100));
  }
  CHECK(gated.gate.connections() == 2);
  gated.pass(std::chrono::milliseconds(700));
  CHECK(gated.closes(silent));
  CHECK(gated.closes(slow));
  CHECK(gated.page.refused.get() == 2);
  CHECK(gated.complaints.back().find("did not come within limits.header_timeout") !=
        std::string::npos);
}

TEST_CASE("a peer that goes without a byte is none to tell of, one within its header is") {
  Gated gated;
  gated.connect().end();
  REQUIRE(gated.until([&] { return gated.gate.connections() == 0; }));
  CHECK(gated.complaints.empty());
  CHECK(gated.page.refused.get() == 0);
  Client client = gated.connect();
  client.send("PROXY TC");
  client.shut_down_sending();
  REQUIRE(gated.closes(client));
  REQUIRE(gated.complaints.size() == 1);
  CHECK(gated.complaints[0].find("it has ended within its PROXY header") != std::string::npos);
}

TEST_CASE("a connection moves with what has come of its header, and passes at the successor") {
  Gated old;
  Gated fresh(ranges({"10.0.0.0/8"}));  // who it came from was looked at when it came
  const auto come = static_cast<std::size_t>(GENERATE(0, 1, 20, 43));
  Client client = old.connect();
  client.send(kLine.substr(0, come));
  settle(old.context);
  Client later = old.connect();
  later.send(kLine);
  old.gate.hand_over([&](Handed handed) {
    CHECK(handed.kind == Handed::Kind::begun);
    CHECK(handed.listener == "text://*:1");
    fresh.gate.go_on(std::move(handed), fresh.listener);
  });
  settle(old.context);
  CHECK(old.gate.connections() == 0);
  CHECK(old.page.handed_over.get() == 2);
  CHECK(old.page.connections.get() == 0);
  client.send(kLine.substr(come));
  REQUIRE(fresh.until([&] { return fresh.passed.size() == 2; }));
  for (const Handed& one : fresh.passed) CHECK(one.ends.remote == "192.0.2.1:5123");
  CHECK(old.passed.empty());
  // One that comes now goes there at once.
  Client last = old.connect();
  CHECK(fresh.gate.connections() == 1);
}

TEST_CASE("a connection comes back from a successor that is gone, and is waited for a second") {
  Gated gated;
  Client client = gated.connect();
  Client silent = gated.connect();
  client.send(kLine.substr(0, 9));
  settle(gated.context);
  std::vector<Handed> left;
  gated.gate.hand_over([&](Handed handed) {
    gated.gate.drain_politely();
    gated.gate.go_on(std::move(handed), gated.listener);
  });
  settle(gated.context);
  CHECK(gated.gate.connections() == 2);
  client.send(kLine.substr(9));
  REQUIRE(gated.until([&] { return gated.passed.size() == 1; }));
  gated.pass(std::chrono::milliseconds(1'500));
  CHECK(gated.closes(silent));
  CHECK(gated.complaints.empty());
}

TEST_CASE("what a predecessor calls the beginning of a header and is none is refused") {
  Gated gated;
  for (const std::string& received :
       {std::string("GET"), std::string(kLine), std::string(net::proxy_protocol::kLongest, '\r')}) {
    auto [served, client] = tcp_pair();
    Handed handed;
    handed.kind = Handed::Kind::begun;
    handed.connection = std::move(served);
    handed.received = received;
    gated.gate.go_on(std::move(handed), gated.listener);
    Client peer(std::move(client));
    CHECK(gated.closes(peer));
  }
  CHECK(gated.page.refused.get() == 3);
  CHECK(gated.passed.empty());
}

TEST_CASE("a cut ends what waits for its header") {
  Gated gated;
  Client client = gated.connect();
  gated.gate.cut();
  CHECK(gated.closes(client));
  CHECK(gated.gate.connections() == 0);
}
