#include "worker/handover.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loop.hpp"
#include "os/error.hpp"
#include "os/message_socket.hpp"
#include "worker/handover_message.hpp"

using namespace appserver;
using worker::Handed;

namespace {

// The end that the client keeps says whose the other one is.
struct Pair {
  os::Fd served;
  os::Fd client;
};

Pair make_connection() {
  auto [served, client] = os::make_socket_pair(SOCK_STREAM);
  return {std::move(served), std::move(client)};
}

bool is_closed(const os::Fd& client) {
  char byte = 0;
  return ::recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0;
}

bool connected(const os::Fd& client, const os::Fd& served, char mark) {
  char byte = 0;
  return ::send(client.get(), &mark, 1, MSG_NOSIGNAL) == 1 &&
         ::recv(served.get(), &byte, 1, MSG_DONTWAIT) == 1 && byte == mark;
}

struct Handing {
  Handing() : Handing(os::make_socket_pair(SOCK_SEQPACKET)) {}

  void receive() {
    receiver = std::make_unique<worker::HandoverReceiver>(
        context, std::move(taking),
        [this](Handed handed) { received.push_back(std::move(handed)); },
        [this] {
          ++ended;
          receiver.reset();
        });
  }

  template <typename State>
  bool until(State&& state) {
    return test::run_until(context, state);
  }

  boost::asio::io_context context{1};
  os::Fd taking;
  std::vector<Handed> received;
  std::vector<Handed> lost;
  int losses = 0;
  int emptied = 0;
  int ended = 0;
  std::unique_ptr<worker::HandoverSender> sender;
  std::unique_ptr<worker::HandoverReceiver> receiver;

 private:
  explicit Handing(std::pair<os::Fd, os::Fd> pair) : taking(std::move(pair.second)) {
    sender = std::make_unique<worker::HandoverSender>(context, std::move(pair.first),
                                                      [this](std::deque<Handed> left) {
                                                        ++losses;
                                                        for (Handed& one : left)
                                                          lost.push_back(std::move(one));
                                                      });
    sender->on_empty([this] { ++emptied; });
  }
};

class ManyDescriptors {
 public:
  ManyDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit most = before_;
    most.rlim_cur = most.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &most);
  }
  ManyDescriptors(const ManyDescriptors&) = delete;
  ManyDescriptors& operator=(const ManyDescriptors&) = delete;
  ~ManyDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a connection arrives with its bytes, whatever they are") {
  const std::string bytes = GENERATE(std::string(), std::string("GET / HT"),
                                     std::string("\0\n\1", 3), std::string(80'000, 'x'));
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  handing.sender->send({std::move(connection.served), bytes});
  REQUIRE(handing.until([&] { return handing.received.size() == 1; }));
  CHECK(handing.received[0].received == bytes);
  CHECK(connected(connection.client, handing.received[0].connection, 'm'));
  CHECK((::fcntl(handing.received[0].connection.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(handing.until([&] { return handing.sender->empty(); }));
  CHECK(handing.emptied > 0);
}

TEST_CASE("what is known of a connection goes along, however much it is") {
  const std::size_t size = GENERATE(0U, 10U, 60'000U, 3'000'000U);
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  Handed handed{std::move(connection.served), std::string(size, 'r')};
  handed.listener = "text://*:1";
  handed.unsent = std::string(size, 'u');
  handed.state = std::string(size / 50, 's');
  handed.paused = true;
  handed.kind = GENERATE(Handed::Kind::stream, Handed::Kind::websocket);
  handed.subprotocol = "chat";
  handed.deflate = handed.kind == Handed::Kind::websocket;
  const Handed::Kind kind = handed.kind;
  handing.sender->send(std::move(handed));
  REQUIRE(handing.until([&] { return handing.received.size() == 1; }));
  const Handed& got = handing.received[0];
  CHECK(got.listener == "text://*:1");
  CHECK((got.received == std::string(size, 'r') && got.unsent == std::string(size, 'u')));
  CHECK(got.state == std::string(size / 50, 's'));
  CHECK(got.paused);
  CHECK(got.kind == kind);
  CHECK(got.subprotocol == "chat");
  CHECK(got.deflate == (kind == Handed::Kind::websocket));
  CHECK(connected(connection.client, got.connection, 'm'));
}

TEST_CASE("what a proxy has told of a connection goes along, however much else does") {
  const std::size_t size = GENERATE(0U, 10U, 3'000'000U);
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  Handed handed{std::move(connection.served), std::string(size, 'r')};
  handed.kind = GENERATE(Handed::Kind::http, Handed::Kind::stream, Handed::Kind::websocket);
  handed.unsent = std::string(size, 'u');
  handed.ends = {"[2001:db8::1]:5123", "198.51.100.2:443"};
  const Handed::Kind kind = handed.kind;
  handing.sender->send(std::move(handed));
  REQUIRE(handing.until([&] { return handing.received.size() == 1; }));
  const Handed& got = handing.received[0];
  CHECK(got.kind == kind);
  CHECK(got.ends == net::Ends{"[2001:db8::1]:5123", "198.51.100.2:443"});
  CHECK((got.received == std::string(size, 'r') && got.unsent == std::string(size, 'u')));
  CHECK(connected(connection.client, got.connection, 'm'));
}

TEST_CASE("a connection whose header has not come goes along with what has") {
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  Handed handed{std::move(connection.served), "PROXY TC"};
  handed.kind = Handed::Kind::begun;
  handed.listener = "https://*:443";
  handing.sender->send(std::move(handed));
  REQUIRE(handing.until([&] { return handing.received.size() == 1; }));
  CHECK(handing.received[0].kind == Handed::Kind::begun);
  CHECK(handing.received[0].received == "PROXY TC");
  CHECK(handing.received[0].listener == "https://*:443");
  CHECK(handing.received[0].ends == net::Ends{});
}

TEST_CASE("ends that are no names end a handover, as does one without the other") {
  const net::Ends ends =
      GENERATE(net::Ends{"a b", "x"}, net::Ends{"x", "a\nb"}, net::Ends{"x", ""},
               net::Ends{"", "x"}, net::Ends{std::string(65, 'x'), "x"}, net::Ends{"x", "\x7F"});
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  Handed handed{std::move(connection.served), ""};
  handed.ends = ends;
  handing.sender->send(std::move(handed));
  REQUIRE(handing.until([&] { return handing.ended == 1; }));
  CHECK(handing.received.empty());
}

TEST_CASE("where a proxy has told nothing, an older worker takes a connection") {
  auto [ours, theirs] = os::make_socket_pair(SOCK_SEQPACKET);
  const auto version_of = [&ours = ours, &theirs = theirs](const Handed& handed) {
    REQUIRE(worker::send_handed(ours.get(), handed) == os::SendResult::sent);
    os::Packet packet;
    REQUIRE(os::receive_packet(theirs.get(), worker::kMaxHandoverMessage, packet) ==
            os::ReceiveResult::received);
    std::uint32_t version = 0;
    std::memcpy(&version, packet.data.data(), sizeof(version));
    return version;
  };
  Pair connection = make_connection();
  Handed handed{std::move(connection.served), "bytes"};
  CHECK(version_of(handed) == 3);
  handed.ends = {"unix", "unix"};
  CHECK(version_of(handed) == 4);
}

TEST_CASE("a successor that dies with connections that it has not taken gives them back") {
  Handing handing;
  Pair connection = make_connection();
  handing.sender->send({std::move(connection.served), "bytes"});
  test::settle(handing.context);
  // It is in the successor's queue, and nowhere else.
  CHECK_FALSE(handing.sender->empty());
  CHECK(handing.emptied == 0);
  handing.taking.reset();
  REQUIRE(handing.until([&] { return handing.lost.size() == 1; }));
  CHECK(handing.lost[0].received == "bytes");
  CHECK(connected(connection.client, handing.lost[0].connection, 'm'));
}

TEST_CASE("a successor that dies keeps what it has taken") {
  Handing handing;
  handing.receive();
  Pair connection = make_connection();
  handing.sender->send({std::move(connection.served), ""});
  REQUIRE(handing.until([&] { return handing.sender->empty(); }));
  handing.receiver.reset();
  REQUIRE(handing.until([&] { return handing.losses == 1; }));
  CHECK(handing.lost.empty());
}

TEST_CASE("the receiver's end is told when the predecessor has no more to give") {
  Handing handing;
  handing.receive();
  std::vector<Pair> connections;
  for (int i = 0; i < 3; ++i) {
    connections.push_back(make_connection());
    handing.sender->send({std::move(connections.back().served), ""});
  }
  handing.sender.reset();
  REQUIRE(handing.until([&] { return handing.ended == 1; }));
  CHECK(handing.received.size() == 3);
}

TEST_CASE("when the successor is gone every connection comes back, those given later too") {
  Handing handing;
  handing.taking.reset();
  Pair first = make_connection();
  Pair second = make_connection();
  handing.sender->send({std::move(first.served), "one"});
  handing.sender->send({std::move(second.served), "two"});
  REQUIRE(handing.lost.size() == 2);
  CHECK(handing.lost[0].received == "one");
  CHECK(handing.lost[1].received == "two");
  CHECK(connected(first.client, handing.lost[0].connection, '1'));
  CHECK(handing.sender->empty());
}

TEST_CASE("a successor that goes while connections wait for it gives the rest back in order") {
  const ManyDescriptors many;
  Handing handing;
  std::vector<Pair> connections;
  for (int i = 0; i < 500; ++i) {
    connections.push_back(make_connection());
    handing.sender->send({std::move(connections.back().served), std::to_string(i)});
  }
  REQUIRE_FALSE(handing.sender->empty());
  handing.taking.reset();
  REQUIRE(handing.until([&] { return handing.losses > 0; }));
  CHECK(handing.sender->empty());
  REQUIRE_FALSE(handing.lost.empty());
  int expected = 500 - static_cast<int>(handing.lost.size());
  for (const Handed& one : handing.lost) CHECK(one.received == std::to_string(expected++));
}

TEST_CASE("two thousand connections go through a receiver that takes them late, each once") {
  constexpr std::size_t kMany = 2'000;
  const ManyDescriptors many;
  Handing handing;
  // One connection under many descriptors will do: what is counted are the messages.
  const Pair connection = make_connection();
  for (std::size_t i = 0; i < kMany; ++i) {
    handing.sender->send({connection.served.duplicate(), std::to_string(i)});
  }
  CHECK_FALSE(handing.sender->empty());
  test::settle(handing.context);
  handing.receive();
  REQUIRE(handing.until([&] { return handing.received.size() == kMany; }));
  for (std::size_t i = 0; i < kMany; ++i)
    REQUIRE(handing.received[i].received == std::to_string(i));
  CHECK(handing.until([&] { return handing.emptied > 0; }));
  CHECK(handing.losses == 0);
}

TEST_CASE("cut gives up what waits and counts it") {
  Handing handing;
  telemetry::Counter unsent;
  handing.sender->count_unsent_in(unsent);
  std::vector<Pair> connections;
  for (int i = 0; i < 400; ++i) {
    connections.push_back(make_connection());
    handing.sender->send({std::move(connections.back().served), ""});
  }
  const std::uint64_t waited = unsent.get();
  const std::size_t cut = handing.sender->cut();
  CHECK(cut > 0);
  CHECK(waited == cut);
  CHECK(unsent.get() == 0);
  CHECK(handing.sender->empty());
  CHECK(is_closed(connections.back().client));
  handing.sender.reset();
  test::settle(handing.context);
  handing.receive();
  REQUIRE(handing.until([&] { return handing.ended == 1; }));
  CHECK(handing.received.size() + cut == 400);
}

TEST_CASE("a message that is none ends the handover, and what came with it is closed") {
  auto [ours, theirs] = os::make_socket_pair(SOCK_SEQPACKET);
  boost::asio::io_context context{1};
  int received = 0;
  int ended = 0;
  auto receiver = std::make_unique<worker::HandoverReceiver>(
      context, std::move(theirs), [&](const Handed&) { ++received; }, [&] { ++ended; });
  const Pair first = make_connection();
  Pair second = make_connection();
  const std::array<int, 2> both{first.served.get(), second.served.get()};
  // The version, and no bytes of anything.
  std::string head(48, '\0');
  head[0] = '\2';
  SECTION("another version") {
    head[0] = '\1';
    os::send_packet(ours.get(), head, std::span(both).first(1));
  }
  SECTION("half a head") {
    os::send_packet(ours.get(), std::string_view(head).substr(0, 24), std::span(both).first(1));
  }
  SECTION("sizes of more than there is") {
    head[16] = '\5';
    os::send_packet(ours.get(), head + "four", std::span(both).first(1));
  }
  SECTION("more than the sizes say") {
    os::send_packet(ours.get(), head + "more", std::span(both).first(1));
  }
  SECTION("a memory file that is none") {
    head[8] = '\1';
    os::send_packet(ours.get(), head, both);
  }
  SECTION("no version") { os::send_packet(ours.get(), "", std::span(both).first(1)); }
  SECTION("no descriptor") { os::send_packet(ours.get(), head); }
  SECTION("two descriptors") { os::send_packet(ours.get(), head, both); }
  SECTION("more bytes than a connection can have") {
    os::send_packet(ours.get(), head + std::string(180'000, 'x'), std::span(both).first(1));
  }
  REQUIRE(test::run_until(context, [&] { return ended == 1; }));
  CHECK(received == 0);
  second.served.reset();
  CHECK(is_closed(second.client));
  receiver.reset();
  CHECK(os::send_packet(ours.get(), head) == os::SendResult::closed);
}

TEST_CASE("either side may end at any time") {
  Handing handing;
  handing.receive();
  std::vector<Pair> connections;
  for (int i = 0; i < 400; ++i) {
    connections.push_back(make_connection());
    handing.sender->send({std::move(connections.back().served), ""});
  }
  SECTION("the sender while it waits") { handing.sender.reset(); }
  SECTION("the receiver with messages unread") { handing.receiver.reset(); }
  test::settle(handing.context);
  CHECK(handing.ended <= 1);
}
