// Outbound connections: that none of them keeps the loop to itself.
#include "net/client/transport.hpp"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "loop.hpp"
#include "scripted_server.hpp"
#include "tls_client.hpp"

using namespace appserver;
using namespace appserver::net::client;
using namespace appserver::test;

namespace {

// A loop that counts its turns.
struct Turning {
  Turning() {
    std::signal(SIGPIPE, SIG_IGN);
    turn();
  }
  void turn() {
    boost::asio::post(context, [this] {
      ++turns;
      turn();
    });
  }
  // Until the work is done; false where it has thrown, or takes too long.
  bool run(std::function<Work<>()> work) {
    bool done = false;
    bool failed = false;
    boost::asio::co_spawn(context.get_executor(), work(), [&](const std::exception_ptr& error) {
      done = true;
      failed = error != nullptr;
    });
    return run_until(context, [&] { return done; }) && !failed;
  }

  boost::asio::io_context context{1};
  int turns = 0;
};

Work<> open(Transport& transport, const ScriptedServer& server, bool tls) {
  const Target target = parse_target(server.url());
  auto addresses = co_await transport.resolve(target);
  co_await transport.connect(std::move(addresses), Clock::now() + std::chrono::seconds(20));
  if (tls) {
    auto context = std::make_shared<const net::tls::ClientContext>(trusting());
    co_await transport.secure(std::move(context), "localhost");
  }
}

const std::shared_ptr<const net::tls::ServerContext>& server_side() {
  static const auto made = server_context(material_of(issue({"localhost"})));
  return made;
}

}  // namespace

TEST_CASE("between two reads of an outbound connection others have their turn, whatever has come") {
  const bool tls = GENERATE(false, true);
  const std::string sent(200'000, 'x');
  ScriptedServer server(
      [&](ScriptedServer& self) {
        Accepted client = self.accept();
        client.send(sent);
        self.note("sent");
        client.wait_for_end();
      },
      tls ? server_side() : nullptr);
  Turning loop;
  Transport transport(loop.context);
  REQUIRE(loop.run([&] { return open(transport, server, tls); }));
  REQUIRE(soon([&] { return server.notes().size() == 1; }));
  std::vector<int> turns;
  std::string come;
  REQUIRE(loop.run([&]() -> Work<> {
    std::array<char, 5'000> part;
    while (come.size() < sent.size()) {
      const std::size_t got = co_await transport.read_some(part);
      come.append(part.data(), got);
      turns.push_back(loop.turns);
    }
  }));
  CHECK(come == sent);
  CHECK(turns.size() >= 40);
  CHECK(std::ranges::adjacent_find(turns) == turns.end());
}

TEST_CASE("much that is written at once is written in pieces, between which others have theirs") {
  const bool tls = GENERATE(false, true);
  const std::string sent(1'100'000, 'x');
  ScriptedServer server(
      [&](ScriptedServer& self) {
        Accepted client = self.accept();
        self.note(std::to_string(client.bytes(sent.size()).size()));
      },
      tls ? server_side() : nullptr);
  Turning loop;
  Transport transport(loop.context);
  REQUIRE(loop.run([&] { return open(transport, server, tls); }));
  const int before = loop.turns;
  REQUIRE(loop.run([&]() -> Work<> { co_await transport.write(sent); }));
  CHECK(loop.turns - before >= static_cast<int>(sent.size() >> 18));
  CHECK(soon([&] { return !server.notes().empty(); }));
  CHECK(server.notes() == std::vector<std::string>{std::to_string(sent.size())});
}
