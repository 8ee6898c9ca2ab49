// Outbound connections as WebSockets and under TLS.
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "connector_harness.hpp"
#include "scratch_file.hpp"
#include "tls_client.hpp"
#include "websocket_client.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace net::client;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("an outbound WebSocket masks what it sends, and begins with what came with the answer") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    const std::string request = client.request();
    self.note(request);
    client.send(accepting(request, "chat") + server_frame(net::websocket::Opcode::text, "welcome"));
    self.note(unmasked(client.bytes(11)));
    client.send(server_frame(net::websocket::Opcode::ping, "p"));
    self.note(unmasked(client.bytes(7)));
    client.send(server_frame(net::websocket::Opcode::close, close_payload(4001, "enough")));
    self.note(unmasked(client.bytes(8)));
  });
  Connecting connecting;
  auto& events = *connecting.events;
  ConnectOptions options;
  options.websocket.subprotocols = {"talk", "chat"};
  options.websocket.fields = {{"Origin", "http://here"}};
  events.opens = [&](appserver_connection id) {
    appserver_connection_info info{};
    info.size = sizeof(info);
    connecting.server.info(id, info);
    CHECK(std::string(info.subprotocol.data, info.subprotocol.size) == "chat");
    CHECK(std::string(info.protocol.data, info.protocol.size) == "websocket");
    return connecting.server.send(id, kText, "hello") == APPSERVER_OK;
  };
  connecting.start(local(server, "ws") + "/room?x=1", options);
  REQUIRE(connecting.ends());
  CHECK(events.messages == std::vector<std::string>{"welcome"});
  CHECK(events.kinds.front() == kText);
  CHECK(events.ended.front().reason == APPSERVER_CLOSED_BY_PEER);
  CHECK(events.ended.front().code == 4001);
  CHECK(events.ended.front().text == "enough");
  REQUIRE(connecting.until([&] { return server.notes().size() == 4; }));
  const auto notes = server.notes();
  CHECK_THAT(notes.at(0), Contains("GET /room?x=1 HTTP/1.1\r\nHost: 127.0.0.1:" + server.port()));
  CHECK_THAT(notes.at(0), Contains("Sec-WebSocket-Protocol: talk, chat\r\n"));
  CHECK_THAT(notes.at(0), Contains("Origin: http://here\r\n"));
  CHECK(notes.at(1) == "hello");
  CHECK(notes.at(2) == "p");
  CHECK(notes.at(3) == close_payload(4001));
}

TEST_CASE("what answers a WebSocket's handshake otherwise is refused") {
  struct Wrong {
    std::string from;
    std::string to;
    std::string why;
  };
  const auto wrong = GENERATE(
      Wrong{"101 Switching Protocols", "200 OK", "status 200"},
      Wrong{"Upgrade: websocket", "Upgrade: other", "lacks Upgrade"},
      Wrong{"Connection: Upgrade", "Connection: close", "lacks Connection"},
      Wrong{"Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x", "is not that of the request"},
      Wrong{"\r\n\r\n", "\r\nSec-WebSocket-Protocol: other\r\n\r\n", "subprotocol that was not"},
      Wrong{"\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "an extension"},
      Wrong{"HTTP/1.1", "NONSENSE", "no HTTP"});
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted client = self.accept();
    std::string answer = accepting(client.request());
    answer.replace(answer.find(wrong.from), wrong.from.size(), wrong.to);
    client.send(answer);
    client.wait_for_end();
  });
  Connecting connecting;
  connecting.start(local(server, "ws"));
  REQUIRE(connecting.fails());
  CHECK(connecting.events->failures.front().failure == Failure::response);
  CHECK_THAT(connecting.events->failures.front().why, Contains(wrong.why));
  CHECK(connecting.events->opened.empty());
}

TEST_CASE("a server that masks its frames is no WebSocket") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.send(accepting(client.request()) + client_frame(net::websocket::Opcode::text, "masked"));
    client.wait_for_end();
  });
  Connecting connecting;
  connecting.start(local(server, "ws"));
  REQUIRE(connecting.ends());
  CHECK(connecting.events->ended.front().reason == APPSERVER_CLOSED_PROTOCOL);
  CHECK(connecting.events->messages.empty());
}

TEST_CASE("an outbound connection under TLS goes to the right host only") {
  const bool right = GENERATE(true, false);
  const std::string scheme = GENERATE("text+tls", "wss");
  ScriptedServer server(
      [&](ScriptedServer& self) {
        Accepted client = self.accept();
        if (scheme == "wss") {
          const std::string request = client.request();
          if (request.empty()) return;
          client.send(accepting(request) + server_frame(net::websocket::Opcode::text, "within"));
        } else {
          client.send("within\n");
        }
        client.wait_for_end();
        self.note("ended");
      },
      server_context(material_of(issue({right ? "IP:127.0.0.1" : "elsewhere"}))));
  const ScratchFile authorities(authority().certificate());
  ConnectOptions options;
  options.ca_file = authorities.path();
  Connecting connecting;
  connecting.start(local(server, scheme), options);
  if (right) {
    REQUIRE(connecting.until([&] { return !connecting.events->messages.empty(); }));
    CHECK(connecting.events->messages.front() == "within");
    appserver_connection_info info{};
    info.size = sizeof(info);
    REQUIRE(connecting.server.info(connecting.events->opened.front(), info) == APPSERVER_OK);
    REQUIRE(info.tls != nullptr);
    connecting.server.close_outbound();
    // The server does not answer the WebSocket's close.
    connecting.pass(6s);
    REQUIRE(connecting.ends());
    CHECK(connecting.events->ended.front().reason == APPSERVER_CLOSED_DRAINED);
  } else {
    REQUIRE(connecting.fails());
    CHECK(connecting.events->failures.front().failure == Failure::tls);
    CHECK_THAT(connecting.events->failures.front().why, Contains("certificate"));
    CHECK(connecting.events->opened.empty());
  }
}

TEST_CASE("a drain of clients leaves outbound connections, and their end is a polite one") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.send(accepting(client.request()));
    self.note(unmasked(client.bytes(8)));
  });
  Connecting connecting;
  connecting.start(local(server, "ws"));
  REQUIRE(connecting.opens());
  int handed = 0;
  connecting.server.hand_over([&](net::Handed) { ++handed; });
  connecting.server.drain_politely();
  connecting.pass(3s);
  CHECK(connecting.server.cut() == 0);
  CHECK(handed == 0);
  CHECK(connecting.events->ended.empty());
  connecting.server.close_outbound();
  REQUIRE(connecting.ends());
  CHECK(connecting.events->ended.front().reason == APPSERVER_CLOSED_DRAINED);
  REQUIRE(connecting.until([&] { return !server.notes().empty(); }));
  CHECK(server.notes().front() == close_payload(1001));
}
