// WebSockets from their opening handshake on an HTTP connection to their end.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "net/http_server.hpp"
#include "net/stream_server.hpp"
#include "net/websocket/message_reader.hpp"
#include "websocket_harness.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;
using net::websocket::Opcode;

TEST_CASE("a WebSocket begins behind the answers to the requests before it") {
  WebSockets serving;
  Client client = serving.begin();
  client.send(get("/one") + handshake() + client_frame(Opcode::text, "hello") +
              client_frame(Opcode::binary, "\xff"));
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.ends_with("\xff");
  }));
  const auto answer = client.received.find("/one");
  const auto head = client.received.find("HTTP/1.1 101 Switching Protocols\r\n");
  CHECK(answer < head);
  CHECK(client.got("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  CHECK_FALSE(client.got("Sec-WebSocket-Extensions"));
  CHECK(server_frames(client.received.substr(head)) ==
        Frames{text_frame("hello"), {Opcode::binary, false, "\xff"}});
  CHECK(serving.script.kinds == std::vector<std::uint32_t>{kText, kBinary});
  CHECK(serving.http.connections() == 0);
  CHECK(serving.page.connections.get() == 1);
}

TEST_CASE("what the plugin sends while a WebSocket opens comes behind the handshake's answer") {
  WebSockets serving;
  serving.script.on_opening = [&](appserver_connection id, const appserver_http_request& request) {
    CHECK(text(request.path) == "/chat");
    serving.server.send(id, kText, "welcome");
    return net::StreamHandler::WebSocketAnswer{0, {}, "chat.v2"};
  };
  Client client = serving.begin();
  client.send(
      handshake("Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n", "/chat"));
  REQUIRE(serving.gets(client, {text_frame("welcome")}));
  CHECK(client.received.starts_with("HTTP/1.1 101"));
  CHECK(client.got("Sec-WebSocket-Protocol: chat.v2\r\n"));
  appserver_connection_info info{};
  info.size = sizeof(info);
  REQUIRE(serving.server.info(serving.script.connected.at(0), info) == APPSERVER_OK);
  CHECK(text(info.protocol) == "websocket");
  CHECK(text(info.subprotocol) == "chat.v2");
}

TEST_CASE("a handshake that the plugin refuses gets its status, and no on_close follows") {
  WebSockets serving;
  serving.script.on_opening = [&](appserver_connection id, const appserver_http_request&) {
    serving.server.send(id, kText, "never seen");
    return net::StreamHandler::WebSocketAnswer{403, "not for you"};
  };
  Client client = serving.begin();
  client.send(handshake());
  REQUIRE(serving.closes(client));
  CHECK(client.received.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  CHECK(client.received.ends_with("403 Forbidden: not for you\n"));
  CHECK_FALSE(client.got("never seen"));
  CHECK(serving.script.ended.empty());
}

TEST_CASE("a malformed handshake is refused, and so is another version") {
  WebSockets serving;
  Client other = serving.begin();
  other.send(get("/",
                 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Version: 12\r\n"));
  REQUIRE(serving.closes(other));
  CHECK(other.received.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
  CHECK(other.got("Sec-WebSocket-Version: 13\r\n"));
  CHECK(other.got("Upgrade: websocket\r\n"));
  Client keyless = serving.begin();
  keyless.send(get("/",
                   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\n"));
  REQUIRE(serving.closes(keyless));
  CHECK(keyless.received.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(serving.script.connected.empty());
  CHECK(serving.page.refused.get() == 2);
}

TEST_CASE("other requests are answered as ever, but not where only WebSockets are served") {
  WebSockets serving;
  Client client = serving.begin();
  client.send(get("/x", "Upgrade: h2c\r\nConnection: Upgrade\r\n") + post("/y", "body") +
              handshake("Content-Length: 1\r\n", "/z") + "b");
  CHECK(serving.until([&] {
    client.read_all();
    return client.answers() == 3;
  }));
  CHECK(serving.requests.requests == std::vector<std::string>{"/x", "/ybody", "/zb"});
  Client only = serving.begin(true);
  only.send(get("/"));
  REQUIRE(serving.closes(only));
  CHECK(only.received.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
}

TEST_CASE("a ping is answered with its own bytes, also within a message") {
  WebSockets serving;
  Client client = serving.open();
  client.send(client_frame(Opcode::text, "hel", false) + client_frame(Opcode::ping, "a") +
              client_frame(Opcode::pong, "unasked") + client_frame(Opcode::continuation, "lo"));
  CHECK(serving.gets(client, {{Opcode::pong, false, "a"}, text_frame("hello")}));
  CHECK(serving.script.messages == std::vector<std::string>{"hello"});
}

TEST_CASE("while a peer takes nothing, of its pings only the newest is answered") {
  WebSockets serving;
  // Whose buffer does not grow by itself.
  Client client = serving.open(serving.begin(false, os::make_socket_pair(SOCK_STREAM)), "");
  const appserver_connection id = serving.script.connected.at(0);
  std::size_t sent = 0;
  appserver_connection_info info{};
  info.size = sizeof(info);
  // Short of the bound, at which nothing more is read.
  while (serving.server.send(id, kBinary, std::string(10'000, 'x')) == APPSERVER_OK) {
    ++sent;
    settle(serving.context);
    serving.server.info(id, info);
    if (info.unsent > 20'000) break;
  }
  REQUIRE(info.unsent < small_stream_limits().send_buffer);
  for (int i = 0; i < 100; ++i) client.send(client_frame(Opcode::ping, std::to_string(i)));
  settle(serving.context);
  REQUIRE(serving.until([&] {
    client.read_all();
    return server_frames(client.received).size() > sent;
  }));
  settle(serving.context);
  client.read_all();
  const Frames frames = server_frames(client.received);
  REQUIRE(frames.size() == sent + 1);
  CHECK(frames.back() == ServerFrame{Opcode::pong, false, "99"});
}

TEST_CASE("a peer's close is echoed, told to the plugin, and ends the connection") {
  WebSockets serving;
  Client client = serving.open();
  client.send(client_frame(Opcode::close, close_payload(3001, "bye")) +
              client_frame(Opcode::text, "too late"));
  REQUIRE(serving.closes(client));
  CHECK_FALSE(client.reset);
  CHECK(server_frames(client.received) == Frames{close_frame(3001)});
  CHECK(serving.script.messages.empty());
  REQUIRE(serving.script.ended.size() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_BY_PEER);
  CHECK(serving.script.ended[0].code == 3001);
  CHECK(serving.script.ended[0].text == "bye");
}

TEST_CASE("our close tells code and reason, waits for the peer's, and delivers nothing more") {
  WebSockets serving;
  Client client = serving.open();
  const appserver_connection id = serving.script.connected.at(0);
  CHECK(serving.server.close(id, 1005, "") == APPSERVER_INVALID);
  CHECK(serving.server.close(id, 4000, std::string(124, 'x')) == APPSERVER_INVALID);
  CHECK(serving.server.close(id, 4000, "\xff") == APPSERVER_INVALID);
  CHECK(serving.server.close(id, 4000, "enough") == APPSERVER_OK);
  CHECK(serving.server.close(id, 4001, "again") == APPSERVER_OK);
  CHECK(serving.server.send(id, kText, "x") == APPSERVER_GONE);
  REQUIRE(serving.gets(client, {close_frame(4000, "enough")}));
  client.send(client_frame(Opcode::text, "on its way") + client_frame(Opcode::ping, ""));
  settle(serving.context);
  CHECK(serving.server.connections() == 1);
  client.send(client_frame(Opcode::close, close_payload(4000)));
  REQUIRE(serving.closes(client));
  CHECK_FALSE(client.reset);
  CHECK(serving.script.messages.empty());
  REQUIRE(serving.script.ended.size() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_BY_PLUGIN);
  CHECK(serving.script.ended[0].code == 4000);
}

TEST_CASE("a peer that does not answer our close is cut after kCloseTimeout, whatever it sends") {
  WebSockets serving;
  Client client = serving.open();
  serving.server.close(serving.script.connected.at(0), 0, {});
  REQUIRE(serving.gets(client, {close_frame(1000)}));
  serving.pass(net::StreamServer::kCloseTimeout / 2);
  client.send(client_frame(Opcode::text, "x"));
  serving.pass(net::StreamServer::kCloseTimeout / 2 - 500ms);
  CHECK(serving.server.connections() == 1);
  serving.pass(1s);
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("what is against the protocol or a limit is answered with its close code") {
  struct Case {
    std::string bytes;
    unsigned code;
    std::uint32_t reason;
  };
  const Case wrong = GENERATE(
      Case{client_frame(Opcode::continuation, "x"), 1002, APPSERVER_CLOSED_PROTOCOL},
      Case{client_frame(Opcode::text, "x", true, true), 1002, APPSERVER_CLOSED_PROTOCOL},
      Case{std::string("\x81\x01x", 3), 1002, APPSERVER_CLOSED_PROTOCOL},
      Case{client_frame(Opcode::text, "\xff"), 1007, APPSERVER_CLOSED_PROTOCOL},
      Case{client_frame(Opcode::close, close_payload(1005)), 1002, APPSERVER_CLOSED_PROTOCOL},
      Case{client_frame(Opcode::binary, std::string(10'001, 'x')), 1009, APPSERVER_CLOSED_LIMIT});
  WebSockets serving;
  Client client = serving.open();
  client.send(client_frame(Opcode::text, "before") + wrong.bytes + std::string(20'000, 'x'));
  REQUIRE(serving.gets(client, {text_frame("before"), close_frame(wrong.code)}));
  REQUIRE(serving.until([&] { return serving.script.ended.size() == 1; }));
  CHECK(serving.script.ended[0].reason == wrong.reason);
  CHECK_FALSE(serving.script.ended[0].text.empty());
  REQUIRE(serving.closes(client));
  CHECK_FALSE(client.reset);
}

TEST_CASE("what may not be sent over a WebSocket is not sent") {
  WebSockets serving;
  Client client = serving.open();
  const appserver_connection id = serving.script.connected.at(0);
  CHECK(serving.server.send(id, kText, "\xff") == APPSERVER_INVALID);
  CHECK(serving.server.send(id, kBinary, std::string(10'001, 'x')) == APPSERVER_INVALID);
  CHECK(serving.server.send(id, 2, "x") == APPSERVER_INVALID);
  CHECK(serving.server.send(id, kText, "two\nlines\n") == APPSERVER_OK);
  REQUIRE(serving.gets(client, {text_frame("two\nlines\n")}));
}

TEST_CASE("where it was agreed on, long messages go compressed, both ways") {
  WebSockets serving;
  Client client = serving.open(kDeflate);
  CHECK(client.got("permessage-deflate; server_no_context_takeover; client_no_context_takeover"));
  const std::string message(5'000, 'm');
  net::websocket::Deflate deflate;
  client.send(client_frame(Opcode::text, deflate.compress(message), true, true) +
              client_frame(Opcode::text, "short"));
  REQUIRE(serving.until([&] {
    client.read_all();
    return server_frames(client.received).size() == 2;
  }));
  const Frames frames = server_frames(client.received);
  CHECK(frames[0].compressed);
  CHECK(frames[0].payload.size() < 100);
  std::string back;
  REQUIRE(deflate.decompress(frames[0].payload, 10'000, back) ==
          net::websocket::Deflate::Result::whole);
  CHECK(back == message);
  CHECK(frames[1] == text_frame("short"));
  CHECK(serving.script.messages == std::vector<std::string>{message, "short"});
}

TEST_CASE("a silent WebSocket is pinged, and cut where it does not answer") {
  WebSockets serving;
  Client answering = serving.open();
  Client dead = serving.open();
  const milliseconds interval = net::StreamLimits{}.ping_interval;
  serving.pass(interval + 500ms);
  REQUIRE(serving.gets(answering, {{Opcode::ping, false, ""}}));
  REQUIRE(serving.gets(dead, {{Opcode::ping, false, ""}}));
  answering.send(client_frame(Opcode::pong, ""));
  settle(serving.context);
  serving.pass(interval - 1s);
  CHECK(serving.server.connections() == 2);
  serving.pass(2s);
  REQUIRE(serving.closes(dead));
  CHECK(serving.server.connections() == 1);
  REQUIRE(serving.script.ended.size() == 1);
  CHECK(serving.script.ended[0].reason == APPSERVER_CLOSED_TIMEOUT);
}

TEST_CASE("pings do not keep a WebSocket from stream_idle_timeout") {
  net::StreamLimits limits = websocket_limits();
  limits.ping_interval = 1s;
  limits.idle_timeout = 3s;
  WebSockets serving(limits);
  Client client = serving.open();
  for (int second = 0; second < 4; ++second) {
    serving.pass(1s);
    client.send(client_frame(Opcode::pong, ""));
  }
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.ends_with(close_payload(1000));
  }));
  client.send(client_frame(Opcode::close, close_payload(1000)));
  REQUIRE(serving.closes(client));
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_TIMEOUT);
}

TEST_CASE("a fragmented message that does not go on ends its connection") {
  WebSockets serving;
  Client client = serving.open();
  client.send(client_frame(Opcode::text, "never", false));
  settle(serving.context);
  serving.pass(small_stream_limits().message_timeout + 500ms);
  REQUIRE(serving.closes(client));
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_TIMEOUT);
}

TEST_CASE("a polite drain closes WebSockets one after another, and none within a message") {
  WebSockets serving;
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(serving.open());
  clients[0].send(client_frame(Opcode::text, "one", false));
  settle(serving.context);
  serving.server.drain_politely();
  const auto closed = [&] {
    return std::ranges::count_if(clients, [](Client& client) {
      client.read_all();
      return client.received.ends_with(close_payload(1001));
    });
  };
  serving.pass(500ms);
  CHECK(closed() < 4);
  clients[0].send(client_frame(Opcode::continuation, "two"));
  REQUIRE(serving.gets(clients[0], {text_frame("onetwo"), close_frame(1001)}));
  serving.pass(websocket_limits().close_spread);
  CHECK(closed() == 10);
  for (Client& client : clients) {
    client.send(client_frame(Opcode::close, close_payload(1001)));
    CHECK(serving.closes(client));
    CHECK_FALSE(client.reset);
  }
  CHECK(serving.script.ended.at(0).reason == APPSERVER_CLOSED_DRAINED);
  CHECK(serving.server.connections() == 0);
}

TEST_CASE("a WebSocket moves between two messages, with what was agreed on") {
  WebSockets before;
  WebSockets after;
  before.script.on_handing = [](appserver_connection) { return "state"; };
  before.script.on_opening = [](appserver_connection, const appserver_http_request&) {
    return net::StreamHandler::WebSocketAnswer{0, {}, "chat"};
  };
  Client client = before.open(kDeflate + "Sec-WebSocket-Protocol: chat\r\n");
  const std::string long_message(1'000, 'm');
  client.send(client_frame(Opcode::text, "hel", false));
  settle(before.context);
  const auto listener = std::make_shared<const net::StreamListener>(
      net::StreamListener{"http://*:1", "websocket", net::stream::Framing::raw, true});
  before.server.hand_over([&](net::Handed handed) {
    CHECK(handed.kind == net::Handed::Kind::websocket);
    CHECK(handed.listener == "http://*:1");
    CHECK(handed.subprotocol == "chat");
    after.server.adopt(std::move(handed), listener);
  });
  CHECK(before.server.connections() == 1);
  const std::string next = client_frame(Opcode::text, long_message);
  client.send(client_frame(Opcode::continuation, "lo") + next.substr(0, 500));
  REQUIRE(before.gets(client, {text_frame("hello")}));
  CHECK(before.server.connections() == 0);
  CHECK(before.script.ended.empty());
  client.send(next.substr(500));
  REQUIRE(after.until([&] {
    client.read_all();
    return server_frames(client.received).size() == 2;
  }));
  CHECK(server_frames(client.received)[1].compressed);
  CHECK(after.script.messages == std::vector<std::string>{long_message});
}

TEST_CASE("what is cut is told why, as far as that goes") {
  WebSockets serving;
  Client client = serving.open();
  CHECK(serving.server.cut() == 1);
  REQUIRE(serving.closes(client));
  CHECK(server_frames(client.received) == Frames{close_frame(1001)});
}

TEST_CASE("an HTTP connection says where it came in when it moves") {
  WebSockets serving;
  Client client = serving.begin();
  std::vector<net::Handed> given;
  serving.http.hand_over([&](net::Handed handed) { given.push_back(std::move(handed)); });
  REQUIRE(given.size() == 1);
  CHECK(given[0].listener == "http://*:1");
  CHECK(given[0].kind == net::Handed::Kind::http);
}
