// What compressed WebSocket messages take of the loop's turns.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/websocket/deflate.hpp"
#include "websocket_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using net::websocket::Opcode;

namespace {

constexpr std::size_t kLength = 10'000;

// A millisecond goes by with each piece of work, and none otherwise.
struct Working : WebSockets {
  // One at the beginning of a turn, one behind each piece.
  static constexpr int kMostATurn = 1 + static_cast<int>(net::TurnBudget::kMost.count());

  static net::StreamLimits limits() {
    net::StreamLimits limits = websocket_limits();
    limits.max_message = std::size_t{4} << 20;
    limits.send_buffer = std::size_t{8} << 20;
    return limits;
  }

  Working() : WebSockets(limits()) {
    server.measure_work_by([this] { return std::chrono::milliseconds(looks++); });
  }

  // One handler of the loop.
  void run_one() {
    const int before = looks;
    context.restart();
    REQUIRE(context.run_one_for(std::chrono::seconds(10)) == 1);
    most_in_one = std::max(most_in_one, looks - before);
  }

  int looks = 0;
  int most_in_one = 0;
};

std::string message_of(int number, std::size_t length = kLength) {
  std::string message = std::to_string(number) + " ";
  message.resize(length, 'x');
  return message;
}

std::string compressed_frame(const std::string& message) {
  net::websocket::Deflate deflate;
  return client_frame(Opcode::text, deflate.compress(message), true, true);
}

std::string frames_of(int count) {
  std::string frames;
  for (int i = 0; i < count; ++i) frames += compressed_frame(message_of(i));
  return frames;
}

std::string inflated(const ServerFrame& frame) {
  if (!frame.compressed) return frame.payload;
  net::websocket::Deflate deflate;
  std::string message;
  REQUIRE(deflate.decompress(frame.payload, std::size_t{4} << 20, message) ==
          net::websocket::Deflate::Result::whole);
  return message;
}

// The first `count` messages, each once and in their order, have come back; what follows them.
Frames behind_echoes(Client& client, int count) {
  client.read_all();
  Frames frames = server_frames(client.received);
  REQUIRE(frames.size() >= static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    REQUIRE(inflated(frames[static_cast<std::size_t>(i)]) == message_of(i));
  return {frames.begin() + count, frames.end()};
}

bool has_frames(Client& client, std::size_t count) {
  client.read_all();
  return server_frames(client.received).size() >= count;
}

}  // namespace

TEST_CASE("however many compressed messages come, a turn of the loop does a few pieces of them") {
  Working serving;
  constexpr int kEach = 30;
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(serving.open(kDeflate));
  Client other = serving.connect("text");
  settle(serving.context);
  const std::string frames = frames_of(kEach);
  for (Client& client : clients) client.send(frames);
  other.send("hello\n");
  int until_answered = 0;
  while (!other.got("hello\n")) {
    serving.run_one();
    ++until_answered;
    other.read_all();
  }
  CHECK(until_answered < 60);
  CHECK(serving.script.messages.size() < 50);
  while (serving.script.messages.size() < clients.size() * kEach + 1) serving.run_one();
  CHECK(serving.most_in_one <= Working::kMostATurn);
  for (Client& client : clients) {
    REQUIRE(serving.until([&] { return has_frames(client, kEach); }));
    CHECK(behind_echoes(client, kEach).empty());
  }
}

TEST_CASE("one message that is long is inflated and compressed over many turns, others between") {
  Working serving;
  Client client = serving.open(kDeflate);
  Client other = serving.connect("text");
  settle(serving.context);
  const std::string message = message_of(0, std::size_t{4} << 20);
  client.send(compressed_frame(message) + client_frame(Opcode::text, "next"));
  other.send("hello\n");
  while (!other.got("hello\n")) {
    serving.run_one();
    other.read_all();
  }
  CHECK(serving.script.messages == std::vector<std::string>{"hello"});
  while (!has_frames(client, 2)) serving.run_one();
  CHECK(serving.most_in_one <= Working::kMostATurn);
  const Frames frames = server_frames(client.received);
  CHECK((inflated(frames[0]) == message));
  CHECK(frames[1] == text_frame("next"));
}

TEST_CASE("messages that wait for their turn are served before the end of their WebSocket") {
  Working serving;
  constexpr int kCount = 40;
  Client client = serving.open(kDeflate);
  settle(serving.context);
  SECTION("by a close frame") {
    client.send(frames_of(kCount) + client_frame(Opcode::close, close_payload(1000)));
    REQUIRE(serving.closes(client));
    CHECK(behind_echoes(client, kCount) == Frames{close_frame(1000)});
  }
  SECTION("by an end of what is sent") {
    client.send(frames_of(kCount));
    client.shut_down_sending();
    REQUIRE(serving.closes(client));
    behind_echoes(client, kCount);
  }
  CHECK(serving.script.messages.size() == kCount);
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("messages that wait for their turn move to the successor, and what was said stays said") {
  Working before;
  Working after;
  constexpr int kCount = 40;
  before.script.on_handing = [](appserver_connection) { return "state"; };
  Client client = before.open(kDeflate);
  settle(before.context);
  client.send(frames_of(kCount));
  while (before.script.messages.size() < 2) before.run_one();
  const auto listener = std::make_shared<const net::StreamListener>(
      net::StreamListener{"http://*:1", "websocket", net::stream::Framing::raw, true});
  before.server.hand_over(
      [&](net::Handed handed) { after.server.adopt(std::move(handed), listener); });
  REQUIRE(before.until([&] { return before.server.connections() == 0; }));
  CHECK(before.script.messages.size() < kCount);
  REQUIRE(after.until([&] { return has_frames(client, kCount); }));
  CHECK(behind_echoes(client, kCount).empty());
  CHECK(before.script.messages.size() + after.script.messages.size() == kCount);
  CHECK(before.script.ended.empty());
}

TEST_CASE("a polite drain ends a WebSocket behind the messages that wait for their turn") {
  Working serving;
  constexpr int kCount = 40;
  Client client = serving.open(kDeflate);
  settle(serving.context);
  client.send(frames_of(kCount));
  while (serving.script.messages.size() < 2) serving.run_one();
  serving.server.drain_politely();
  for (int i = 0; i < 100 && !has_frames(client, kCount + 1); ++i)
    serving.pass(std::chrono::milliseconds(100));
  CHECK(behind_echoes(client, kCount) == Frames{close_frame(1001)});
}

TEST_CASE("what a plugin sends waits to be compressed in its order, the close frame behind it") {
  Working serving;
  constexpr int kCount = 40;
  Client client = serving.open(kDeflate);
  settle(serving.context);
  const appserver_connection id = serving.script.connected.at(0);
  const int before = serving.looks;
  for (int i = 0; i < kCount; ++i)
    REQUIRE(serving.server.send(id, kText, message_of(i)) == APPSERVER_OK);
  CHECK(serving.looks - before <= Working::kMostATurn);
  REQUIRE(serving.server.send(id, kText, "short") == APPSERVER_OK);
  appserver_connection_info info{};
  info.size = sizeof(info);
  REQUIRE(serving.server.info(id, info) == APPSERVER_OK);
  CHECK(info.unsent > (kCount - Working::kMostATurn) * kLength);
  SECTION("closed by the plugin") {
    REQUIRE(serving.server.close(id, 1000, "") == APPSERVER_OK);
    REQUIRE(serving.until([&] { return has_frames(client, kCount + 2); }));
    CHECK(behind_echoes(client, kCount) == Frames{text_frame("short"), close_frame(1000)});
  }
  SECTION("closed by the client") {
    client.send(client_frame(Opcode::close, close_payload(1000)));
    REQUIRE(serving.closes(client));
    CHECK(behind_echoes(client, kCount) == Frames{text_frame("short"), close_frame(1000)});
  }
  SECTION("cut, it does not look whole") {
    CHECK(serving.server.cut() == 1);
    REQUIRE(serving.closes(client));
    CHECK(client.reset);
  }
}

TEST_CASE("messages that wait to be compressed count against the buffer of who does not read") {
  net::StreamLimits limits = websocket_limits();
  limits.send_buffer = 50'000;
  WebSockets serving(limits);
  int looks = 0;
  serving.server.measure_work_by([&] { return std::chrono::milliseconds(10 * looks++); });
  Client client = serving.open(kDeflate);
  settle(serving.context);
  const appserver_connection id = serving.script.connected.at(0);
  int taken = 0;
  while (taken < 100 && serving.server.send(id, kText, message_of(taken)) == APPSERVER_OK) ++taken;
  CHECK(taken < 8);
  REQUIRE(serving.until([&] { return has_frames(client, static_cast<std::size_t>(taken)); }));
  CHECK(behind_echoes(client, taken).empty());
  REQUIRE(serving.until([&] { return serving.script.drained == 1; }));
  CHECK(serving.server.send(id, kText, "more") == APPSERVER_OK);
}
