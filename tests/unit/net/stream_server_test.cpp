#include "net/stream_server.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "stream_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using Outcome = net::StreamHandler::Outcome;

namespace {

std::string frame_of(std::string_view message) {
  std::string out;
  net::stream::append(out, net::stream::Framing::frame, message);
  return out;
}

}  // namespace

TEST_CASE("lines and frames are given one by one, and answered in their framing") {
  Streaming serving;
  Client lines = serving.connect("text");
  lines.send("one\r\ntwo\nthr");
  REQUIRE(serving.gets(lines, "one\ntwo\n"));
  lines.send("ee\n");
  REQUIRE(serving.gets(lines, "one\ntwo\nthree\n"));
  Client frames = serving.connect("frame");
  frames.send(frame_of("a") + frame_of("") + frame_of("b\n"));
  REQUIRE(serving.gets(frames, frame_of("a") + frame_of("") + frame_of("b\n")));
  CHECK(serving.script.messages == std::vector<std::string>{"one", "two", "three", "a", "", "b\n"});
  CHECK(serving.page.requests.get() == 6);
  CHECK(serving.page.connections.get() == 2);
}

TEST_CASE("a message cut into single bytes is the same message") {
  Streaming serving;
  Client client = serving.connect("frame");
  for (const char byte : frame_of("hello")) {
    client.send({&byte, 1});
    settle(serving.context);
  }
  REQUIRE(serving.gets(client, frame_of("hello")));
}

TEST_CASE("a plugin's own framing cuts tcp connections, and nothing is put around what it sends") {
  Streaming serving;
  serving.script.measuring = [](std::string_view data) -> std::optional<std::uint64_t> {
    if (data[0] == '!') return std::nullopt;
    const auto end = data.find(';');
    return end == std::string_view::npos ? 0 : end + 1;
  };
  Client client = serving.connect("tcp");
  client.send("a;bb;c");
  REQUIRE(serving.gets(client, "a;bb;"));
  client.send("c;!");
  REQUIRE(serving.closes(client));
  CHECK(serving.script.messages == std::vector<std::string>{"a;", "bb;", "cc;"});
  REQUIRE(serving.script.ended.size() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_PROTOCOL);
}

TEST_CASE("what is no message ends the connection, behind what was answered before") {
  Streaming serving;
  Client client = serving.connect_tcp("frame");
  client.send(frame_of("good") + std::string("\0\0\0\1", 4) + std::string(5000, 'x'));
  REQUIRE(serving.closes(client));
  CHECK(client.received == frame_of("good"));
  CHECK_FALSE(client.reset);
  CHECK(serving.page.refused.get() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_PROTOCOL);
}

TEST_CASE("a message over the limit ends the connection, before it is there whole") {
  Streaming serving;
  Client line = serving.connect("text");
  line.send(std::string(1002, 'x'));
  REQUIRE(serving.closes(line));
  Client frame = serving.connect("frame");
  frame.send(std::string("\0\0\x10\0", 4));
  REQUIRE(serving.closes(frame));
  REQUIRE(serving.script.ended.size() == 2);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_LIMIT);
  CHECK(serving.script.ended[1].reason == APPSERVER_CLOSED_LIMIT);
  CHECK(serving.script.messages.empty());
}

TEST_CASE("what cannot be a message of the protocol is not sent") {
  Streaming serving;
  Client client = serving.connect("text");
  const appserver_connection id = serving.script.connected.at(0);
  CHECK(serving.server.send(id, kText, "two\nlines") == APPSERVER_INVALID);
  CHECK(serving.server.send(id, kText, std::string(1001, 'x')) == APPSERVER_INVALID);
  CHECK(serving.server.send(id, kText, "fine") == APPSERVER_OK);
  REQUIRE(serving.gets(client, "fine\n"));
}

TEST_CASE("a client that is refused in on_connect is cut off, and no on_close follows") {
  Streaming serving;
  serving.script.on_connecting = [](appserver_connection) { return false; };
  Client client = serving.connect_tcp();
  REQUIRE(serving.closes(client));
  CHECK(serving.server.connections() == 0);
  CHECK(serving.script.ended.empty());
}

TEST_CASE("a message that fails is counted, and ends its connection only where that is asked for") {
  Streaming serving;
  Outcome outcome = Outcome::failed;
  serving.script.on = [&](appserver_connection, std::string_view) { return outcome; };
  Client client = serving.connect();
  client.send("a\n");
  REQUIRE(serving.until([&] { return serving.page.failed.get() == 1; }));
  CHECK(serving.server.connections() == 1);
  outcome = Outcome::fatal;
  client.send("b\n");
  REQUIRE(serving.closes(client));
  CHECK(serving.page.failed.get() == 2);
  CHECK(serving.page.server_errors.get() == 2);
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_BY_PLUGIN);
}

TEST_CASE("close sends what waits first, abort does not") {
  Streaming serving;
  serving.script.on = [&](appserver_connection connection, std::string_view message) {
    serving.server.send(connection, kText, "answer");
    if (message == "close") serving.server.close(connection, 0, {});
    if (message == "abort") serving.server.abort(connection);
    return Outcome::good;
  };
  Client closed = serving.connect_tcp();
  closed.send("close\nmore\n");
  REQUIRE(serving.closes(closed));
  CHECK(closed.received == "answer\n");
  CHECK_FALSE(closed.reset);
  Client aborted = serving.connect_tcp();
  aborted.send("abort\n");
  REQUIRE(serving.closes(aborted));
  CHECK(aborted.reset);
  CHECK(serving.script.messages == std::vector<std::string>{"close", "abort"});
  REQUIRE(serving.script.ended.size() == 2);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_BY_PLUGIN);
}

TEST_CASE("a client that ends its side still gets what waits for it, and is then told apart") {
  Streaming serving;
  Client client = serving.connect_tcp();
  client.send("last\n");
  client.shut_down_sending();
  REQUIRE(serving.closes(client));
  CHECK(client.received == "last\n");
  REQUIRE(serving.script.ended.size() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_BY_PEER);
}

TEST_CASE("a context is a connection's own, can be read in on_close, and is gone after that") {
  Streaming serving;
  int mine = 0;
  Client client = serving.connect();
  const appserver_connection id = serving.script.connected.at(0);
  CHECK(serving.server.context(id) == nullptr);
  CHECK(serving.server.set_context(id, &mine) == APPSERVER_OK);
  CHECK(serving.server.context(id) == &mine);
  client.end();
  REQUIRE(serving.until([&] { return serving.script.ended.size() == 1; }));
  CHECK(serving.script.ended[0].had_context);
  CHECK(serving.server.context(id) == nullptr);
  CHECK(serving.server.send(id, kText, "x") == APPSERVER_GONE);
  CHECK(serving.server.close(id, 0, {}) == APPSERVER_GONE);
  Client next = serving.connect();
  CHECK(serving.script.connected.at(1) != id);
  CHECK(serving.server.send(id, kText, "x") == APPSERVER_GONE);
}

TEST_CASE("a paused connection's messages wait, those that came with the one at hand, too") {
  Streaming serving;
  serving.script.on = [&](appserver_connection connection, std::string_view message) {
    if (message == "pause") serving.server.pause(connection, true);
    return Outcome::good;
  };
  Client client = serving.connect();
  client.send("pause\nsecond\n");
  REQUIRE(serving.until([&] { return !serving.script.messages.empty(); }));
  client.send("third\n");
  settle(serving.context);
  CHECK(serving.script.messages.size() == 1);
  serving.server.pause(serving.script.connected.at(0), false);
  REQUIRE(serving.until([&] { return serving.script.messages.size() == 3; }));
  CHECK(serving.script.messages.back() == "third");
}

TEST_CASE("send takes nothing over the bound, and says when to go on") {
  Streaming serving;
  Client client = serving.connect_tcp("frame");
  const appserver_connection id = serving.script.connected.at(0);
  const std::string message(1000, 'x');
  const auto unsent = [&] {
    appserver_connection_info info{};
    info.size = sizeof(info);
    CHECK(serving.server.info(id, info) == APPSERVER_OK);
    return info.unsent;
  };
  std::size_t taken = 0;
  std::uint64_t filled = 0;
  // The kernel takes the first of it, whatever its buffers hold; then ours fills up.
  REQUIRE(serving.until([&] {
    while (serving.server.send(id, kText, message) == APPSERVER_OK) {
      ++taken;
      filled = unsent();
    }
    settle(serving.context);
    return serving.script.full > serving.script.drained;
  }));
  CHECK(serving.server.send(id, kText, message) == APPSERVER_LIMIT);
  const int drained = serving.script.drained;
  CHECK(filled >= 100'000);
  CHECK(filled < 110'000);
  REQUIRE(serving.until([&] {
    client.read_all();
    return serving.script.drained > drained;
  }));
  CHECK(serving.server.send(id, kText, "more") == APPSERVER_OK);
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.size() == taken * 1004 + 8;
  }));
}

TEST_CASE("a connection whose peer takes nothing is not read from, and loses no answer") {
  Streaming serving;
  Client client = serving.connect("frame");
  const std::string message = frame_of(std::string(1000, 'x'));
  std::size_t sent = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto put = ::send(client.fd(), message.data(), message.size(), MSG_DONTWAIT);
    if (put == static_cast<ssize_t>(message.size())) {
      sent += message.size();
    } else if (put > 0) {
      // The rest of this one must follow.
      std::string_view rest(message);
      rest.remove_prefix(static_cast<std::size_t>(put));
      REQUIRE(serving.until([&] {
        client.read_once();
        const auto more = ::send(client.fd(), rest.data(), rest.size(), MSG_DONTWAIT);
        if (more > 0) rest.remove_prefix(static_cast<std::size_t>(more));
        return rest.empty();
      }));
      sent += message.size();
    }
    settle(serving.context);
  }
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.size() == sent;
  }));
  CHECK(serving.page.requests.get() == sent / message.size());
}

TEST_CASE("a peer that takes nothing for send_timeout is cut") {
  Streaming serving;
  Client client = serving.connect("frame");
  const appserver_connection id = serving.script.connected.at(0);
  while (serving.server.send(id, kText, std::string(1000, 'x')) == APPSERVER_OK)
    settle(serving.context);
  serving.pass(milliseconds(1'500));
  CHECK(serving.server.connections() == 1);
  serving.pass(milliseconds(1'000));
  CHECK(serving.server.connections() == 0);
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_TIMEOUT);
}

TEST_CASE("a message that comes too slowly is cut, a paused or silent connection is not") {
  Streaming serving;
  Client silent = serving.connect();
  Client paused = serving.connect();
  Client slow = serving.connect();
  paused.send("begu");
  slow.send("begu");
  settle(serving.context);
  serving.server.pause(serving.script.connected.at(1), true);
  settle(serving.context);
  serving.pass(milliseconds(5'000));
  CHECK(serving.closes(slow));
  CHECK(serving.server.connections() == 2);
  serving.server.pause(serving.script.connected.at(1), false);
  paused.send("n\n");
  CHECK(serving.gets(paused, "begun\n"));
}

TEST_CASE("stream_idle_timeout ends what is silent, and nothing else") {
  net::StreamLimits limits = small_stream_limits();
  limits.idle_timeout = milliseconds(2'000);
  Streaming serving(limits);
  Client silent = serving.connect();
  Client talking = serving.connect();
  for (int i = 0; i < 4; ++i) {
    talking.send("x\n");
    settle(serving.context);
    serving.pass(milliseconds(1'000));
  }
  CHECK(serving.closes(silent));
  CHECK(serving.server.connections() == 1);
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_TIMEOUT);
}

TEST_CASE("a connection tells where it comes from and what went over it") {
  Streaming serving;
  Client client = serving.connect_tcp();
  client.send("hello\n");
  REQUIRE(serving.gets(client, "hello\n"));
  appserver_connection_info info{};
  info.size = sizeof(info);
  REQUIRE(serving.server.info(serving.script.connected.at(0), info) == APPSERVER_OK);
  CHECK(text(info.protocol) == "text");
  CHECK(text(info.listener) == "text://*:1");
  CHECK(text(info.remote).starts_with("127.0.0.1:"));
  CHECK(text(info.local).starts_with("127.0.0.1:"));
  CHECK(info.bytes_in == 6);
  CHECK(info.bytes_out == 6);
  CHECK(info.unsent == 0);
}

TEST_CASE("an older plugin's shorter info is filled as far as it goes") {
  Streaming serving;
  Client client = serving.connect();
  appserver_connection_info info;
  std::memset(&info, 0x55, sizeof(info));
  info.size = offsetof(appserver_connection_info, local);
  REQUIRE(serving.server.info(serving.script.connected.at(0), info) == APPSERVER_OK);
  CHECK(text(info.remote) == "unix");
  CHECK(info.unsent == 0x5555555555555555U);
}
