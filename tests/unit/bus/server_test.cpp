// The bus over real sockets, with workers that the test plays.
#include "bus/server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "os/message_socket.hpp"

using namespace appserver;
using namespace appserver::bus;

namespace {

struct Worker {
  os::Fd socket;

  bool send(Kind kind, std::string_view name, std::string_view value = {}, std::uint64_t number = 0,
            std::uint64_t id = 0) {
    Header header;
    header.kind = kind;
    header.number = number;
    header.id = id;
    return os::send_packet(socket.get(), encode(header, name, value)) == os::SendResult::sent;
  }
};

struct Fixture {
  boost::asio::io_context context{1};
  Server server{context, 1 << 20, 1};

  Worker join(std::uint64_t number) {
    auto [ours, theirs] = os::make_socket_pair(SOCK_SEQPACKET);
    server.add(std::move(ours), number, "worker " + std::to_string(number));
    return {std::move(theirs)};
  }
  void turn() {
    context.restart();
    context.poll();
  }
  // The next that the bus says to it; "" for nothing, "closed".
  std::string next(Worker& worker) {
    turn();
    os::Packet packet;
    const auto result = os::receive_packet(worker.socket.get(), kMaxPacket, packet);
    if (result == os::ReceiveResult::closed) return "closed";
    if (result == os::ReceiveResult::would_block) return "";
    const auto message = decode_reply(packet.data);
    REQUIRE(message);
    if (message->header.kind == Kind::deliver)
      return std::string(message->name) + ":" + std::string(message->value.substr(0, 20)) + ":" +
             std::to_string(message->header.number);
    return std::to_string(message->header.id) + "=" + std::to_string(message->header.detail) + " " +
           std::string(message->value.substr(0, 20)) + " " + std::to_string(message->header.number);
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "what is published reaches all subscribers, its sender too, in order") {
  Worker a = join(1);
  Worker b = join(2);
  Worker c = join(3);
  a.send(Kind::subscribe, "news");
  b.send(Kind::subscribe, "news");
  c.send(Kind::subscribe, "other");
  turn();
  a.send(Kind::publish, "news", "one");
  a.send(Kind::publish, "news", "two");
  for (Worker* each : {&a, &b}) {
    CHECK(next(*each) == "news:one:0");
    CHECK(next(*each) == "news:two:0");
    CHECK(next(*each).empty());
  }
  CHECK(next(c).empty());
  b.send(Kind::unsubscribe, "news");
  turn();
  a.send(Kind::publish, "news", "three");
  CHECK(next(a) == "news:three:0");
  CHECK(next(b).empty());
}

TEST_CASE_METHOD(Fixture, "operations of all workers are about the same keys") {
  Worker a = join(1);
  Worker b = join(2);
  a.send(Kind::set, "key", "value", 0, 11);
  CHECK(next(a) == "11=0  0");
  b.send(Kind::get, "key", {}, 0, 12);
  CHECK(next(b) == "12=0 value 0");
  b.send(Kind::add, "count", {}, 3, 13);
  CHECK(next(b) == "13=0  3");
  a.send(Kind::add, "count", {}, static_cast<std::uint64_t>(-1), 14);
  CHECK(next(a) == "14=0  2");
  a.send(Kind::erase, "key", {}, 0, 15);
  CHECK(next(a) == "15=0  0");
  b.send(Kind::get, "key", {}, 0, 16);
  CHECK(next(b) == "16=1  0");
}

TEST_CASE_METHOD(Fixture, "keys outlive the worker that set them") {
  {
    Worker a = join(1);
    a.send(Kind::set, "key", "value");
    turn();
  }
  turn();
  CHECK(server.clients() == 0);
  Worker b = join(2);
  b.send(Kind::get, "key", {}, 0, 1);
  CHECK(next(b) == "1=0 value 0");
}

TEST_CASE_METHOD(Fixture, "a worker that breaks the protocol is closed, and nobody else") {
  Worker good = join(1);
  Worker bad = join(2);
  good.send(Kind::subscribe, "news");
  bad.send(Kind::subscribe, "news");
  turn();
  REQUIRE(os::send_packet(bad.socket.get(), "nonsense") == os::SendResult::sent);
  CHECK(next(bad) == "closed");
  CHECK(server.clients() == 1);
  good.send(Kind::publish, "news", "still");
  CHECK(next(good) == "news:still:0");
  Worker passes = join(3);
  const std::vector<int> fds{passes.socket.get()};
  Header header;
  header.kind = Kind::get;
  REQUIRE(os::send_packet(passes.socket.get(), encode(header, "key", {}), fds) ==
          os::SendResult::sent);
  CHECK(next(passes) == "closed");
}

TEST_CASE_METHOD(Fixture, "a worker that subscribes to too many topics is closed") {
  Worker worker = join(1);
  for (std::size_t i = 0; i < kMaxTopics; ++i) {
    REQUIRE(worker.send(Kind::subscribe, "topic" + std::to_string(i)));
    turn();
  }
  CHECK(server.clients() == 1);
  worker.send(Kind::subscribe, "topic0");
  CHECK(next(worker).empty());
  worker.send(Kind::subscribe, "one more");
  CHECK(next(worker) == "closed");
}

TEST_CASE_METHOD(Fixture, "a worker that connects anew loses its earlier connection") {
  Worker before = join(1);
  Worker now = join(1);
  CHECK(next(before) == "closed");
  now.send(Kind::get, "key", {}, 0, 5);
  CHECK(next(now) == "5=1  0");
  CHECK(server.clients() == 1);
}

TEST_CASE_METHOD(Fixture, "a subscriber that does not fetch loses the oldest and learns how many") {
  Worker slow = join(1);
  Worker fast = join(2);
  slow.send(Kind::subscribe, "news");
  turn();
  const std::string filler(50'000, 'x');
  constexpr int kSent = 200;
  for (int i = 0; i < kSent; ++i) {
    REQUIRE(fast.send(Kind::publish, "news", std::to_string(i) + " " + filler));
    turn();
  }
  // Its own asking goes on meanwhile.
  fast.send(Kind::get, "key", {}, 0, 1);
  CHECK(next(fast) == "1=1  0");
  int got = 0;
  int lost = 0;
  int last = -1;
  for (std::string text = next(slow); !text.empty(); text = next(slow)) {
    ++got;
    last = std::stoi(text.substr(text.find(':') + 1));
    lost += std::stoi(text.substr(text.rfind(':') + 1));
  }
  CHECK(last == kSent - 1);
  CHECK(lost > 0);
  CHECK(got + lost == kSent);
  const auto warnings = server.report(std::chrono::steady_clock::now());
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Catch::Contains("dropped " + std::to_string(lost) +
                                          " messages of topic \"news\" for worker 1, "
                                          "published by worker 2: "));
}

TEST_CASE_METHOD(Fixture, "a worker that does not fetch its results is closed within a bound") {
  Worker worker = join(1);
  worker.send(Kind::set, "key", std::string(60'000, 'v'));
  turn();
  bool closed = false;
  for (int i = 0; i < 1000 && !closed; ++i) {
    closed = !worker.send(Kind::get, "key");
    turn();
  }
  CHECK(closed);
  CHECK(server.clients() == 0);
}

TEST_CASE_METHOD(Fixture,
                 "results keep their place among messages, whichever of these are dropped") {
  Worker slow = join(1);
  Worker fast = join(2);
  slow.send(Kind::subscribe, "news");
  turn();
  const std::string filler(50'000, 'x');
  for (int i = 0; i < 20; ++i) {
    REQUIRE(fast.send(Kind::publish, "news", std::to_string(i) + " " + filler));
    turn();
  }
  slow.send(Kind::get, "key", {}, 0, 77);
  turn();
  for (int i = 20; i < 40; ++i) {
    REQUIRE(fast.send(Kind::publish, "news", std::to_string(i) + " " + filler));
    turn();
  }
  std::vector<std::string> got;
  for (std::string text = next(slow); !text.empty(); text = next(slow)) got.push_back(text);
  const auto result = std::find(got.begin(), got.end(), "77=1  0");
  REQUIRE(result != got.end());
  for (auto each = got.begin(); each != got.end(); ++each) {
    if (each == result) continue;
    const int number = std::stoi(each->substr(each->find(':') + 1));
    CHECK((each < result) == (number < 20));
  }
}

TEST_CASE_METHOD(Fixture,
                 "all slow subscribers together take no more than a quarter of the memory") {
  std::vector<Worker> slow;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    slow.push_back(join(i));
    // Of its own, so that no packet waits for two.
    slow.back().send(Kind::subscribe, "news" + std::to_string(i));
  }
  Worker fast = join(100);
  turn();
  const std::string filler(50'000, 'x');
  for (int round = 0; round < 40; ++round) {
    for (std::size_t i = 1; i <= slow.size(); ++i) {
      REQUIRE(fast.send(Kind::publish, "news" + std::to_string(i), filler));
      turn();
      CHECK(server.statistics().memory <= (1 << 20) / 4);
    }
  }
  const Server::Statistics now = server.statistics();
  CHECK(now.memory > 0);
  CHECK(now.dropped > 0);
  CHECK(now.topics == 5);
  CHECK(now.subscriptions == 5);
  CHECK(server.clients() == 6);
  // Keys have their own part of it.
  fast.send(Kind::set, "key", filler, 0, 1);
  CHECK(next(fast) == "1=0  0");
  std::uint64_t got = 0;
  for (Worker& each : slow) {
    while (!next(each).empty()) ++got;
  }
  const Server::Statistics after = server.statistics();
  CHECK(got == after.sent);
  CHECK(after.sent + after.dropped == 40 * 5);
  CHECK(after.keys == 1);
  CHECK(after.memory == server.store().bytes());
}

TEST_CASE_METHOD(Fixture, "a group that fills all keys is named, and another has room still") {
  Worker greedy = join(1);
  Worker modest = join(2);
  const std::string filler(10'000, 'x');
  int refused = 0;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    REQUIRE(greedy.send(Kind::set, "key" + std::to_string(i), filler, 0, i));
    if (next(greedy) == std::to_string(i) + "=3  0") ++refused;
  }
  REQUIRE(refused > 0);
  modest.send(Kind::set, "other", filler, 0, 1);
  CHECK(next(modest) == "1=0  0");
  const auto warnings = server.report(std::chrono::steady_clock::now());
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Catch::StartsWith("refused " + std::to_string(refused) +
                                            " changes of keys by worker 1: "));
  CHECK_THAT(warnings[0], Catch::Contains("those of group worker 1 the most"));
}
