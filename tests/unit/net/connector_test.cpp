#include "net/client/connector.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/websocket/upgrade.hpp"
#include "scratch_file.hpp"
#include "scripted_server.hpp"
#include "stream_server_harness.hpp"
#include "tls_client.hpp"
#include "websocket_client.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace net::client;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

// Notes what it is told.
class Recorder final : public ConnectEvents {
 public:
  bool on_open(appserver_connection connection) override {
    opened.push_back(connection);
    return !opens || opens(connection);
  }
  net::StreamHandler::Outcome on_message(appserver_connection connection, std::uint32_t kind,
                                         std::string_view message) override {
    messages.emplace_back(message);
    kinds.push_back(kind);
    return hears ? hears(connection) : net::StreamHandler::Outcome::good;
  }
  void on_close(appserver_connection, const Ended& end) override {
    ended.push_back({end.reason, end.code, std::string(end.text), end.again.has_value()});
    if (closes) closes();
  }
  void on_buffer_full(appserver_connection) override { ++full; }
  void on_buffer_drain(appserver_connection) override { ++drained; }
  void on_failed(Failure failure, std::string_view why,
                 std::optional<milliseconds> again) override {
    failures.push_back({failure, std::string(why), again});
    if (fails) fails();
  }

  struct End {
    std::uint32_t reason;
    std::uint32_t code;
    std::string text;
    bool again;
  };
  struct Failed {
    Failure failure;
    std::string why;
    std::optional<milliseconds> again;
  };
  std::function<bool(appserver_connection)> opens;
  std::function<net::StreamHandler::Outcome(appserver_connection)> hears;
  std::function<void()> closes;
  std::function<void()> fails;
  std::vector<appserver_connection> opened;
  std::vector<std::string> messages;
  std::vector<std::uint32_t> kinds;
  std::vector<End> ended;
  std::vector<Failed> failures;
  int full = 0;
  int drained = 0;
};

struct Connecting : Streaming {
  Connecting() : connector(context, server) { std::signal(SIGPIPE, SIG_IGN); }

  Connector::ConnectId start(const std::string& url, ConnectOptions options = {}) {
    return connector.start(url, std::move(options), events);
  }
  bool opens() {
    return until([&] { return !events->opened.empty(); });
  }
  bool ends() {
    return until([&] { return !events->ended.empty(); });
  }
  bool fails() {
    return until([&] { return !events->failures.empty(); });
  }

  std::shared_ptr<Recorder> events = std::make_shared<Recorder>();
  Connector connector;
};

std::string local(const ScriptedServer& server, const std::string& scheme) {
  return scheme + "://127.0.0.1:" + server.port();
}

// The head of a WebSocket's answer to this request.
std::string accepting(const std::string& request, const std::string& protocol = {}) {
  const auto at = request.find("Sec-WebSocket-Key: ");
  return net::websocket::switching_head(request.substr(at + 19, 24), protocol, false);
}

// What a client's frame holds; empty where it is not masked.
std::string unmasked(std::string frame) {
  net::websocket::FrameHead head;
  std::size_t size = 0;
  if (net::websocket::parse_head(frame, head, size) != net::websocket::HeadResult::whole) return {};
  net::websocket::unmask(std::span<char>(frame).subspan(size), head.mask);
  return frame.substr(size, static_cast<std::size_t>(head.length));
}

std::string server_frame(net::websocket::Opcode opcode, std::string_view payload) {
  std::string frame;
  net::websocket::append_frame(frame, opcode, payload);
  return frame;
}

}  // namespace

TEST_CASE("an outbound connection sends and gets messages, and counts as no client") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.until("\n"));
    client.send("one\r\ntwo\n");
    client.wait_for_end();
  });
  Connecting connecting;
  auto& events = *connecting.events;
  events.opens = [&](appserver_connection id) {
    return connecting.server.send(id, kText, "hello") == APPSERVER_OK;
  };
  REQUIRE(connecting.start(local(server, "text")) != 0);
  CHECK(events.opened.empty());
  REQUIRE(connecting.until([&] { return events.messages.size() == 2; }));
  CHECK(events.messages == std::vector<std::string>{"one", "two"});
  CHECK(server.notes() == std::vector<std::string>{"hello\n"});
  CHECK(connecting.server.connections() == 0);
  CHECK(connecting.server.outbound() == 1);
  CHECK(connecting.page.connections.get() == 0);
  CHECK(connecting.page.requests.get() == 0);
  CHECK(connecting.script.connected.empty());
  appserver_connection_info info{};
  info.size = sizeof(info);
  REQUIRE(connecting.server.info(events.opened.front(), info) == APPSERVER_OK);
  CHECK(std::string(info.listener.data, info.listener.size) == local(server, "text"));
  connecting.server.close(events.opened.front(), 0, {});
  REQUIRE(connecting.ends());
  CHECK(events.ended.front().reason == APPSERVER_CLOSED_BY_PLUGIN);
  CHECK_FALSE(events.ended.front().again);
  CHECK(connecting.server.outbound() == 0);
  CHECK(connecting.connector.size() == 0);
}

TEST_CASE("a connect that fails is told with its reason, and ends where no retry was asked for") {
  Connecting connecting;
  std::string closed_port;
  { closed_port = ScriptedServer(nullptr).port(); }
  connecting.start("tcp://127.0.0.1:" + closed_port);
  REQUIRE(connecting.fails());
  const auto& failed = connecting.events->failures.front();
  CHECK(failed.failure == Failure::connect);
  CHECK(failed.why ==
        "tcp://127.0.0.1:" + closed_port + ": connection refused (127.0.0.1:" + closed_port + ")");
  CHECK_FALSE(failed.again);
  CHECK(connecting.connector.size() == 0);
}

TEST_CASE("a URL or an option that is wrong is told, and not tried again") {
  Connecting connecting;
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  std::string url = "gopher://x:1";
  SECTION("a scheme") {}
  SECTION("a header for what is no WebSocket") {
    url = "text://127.0.0.1:1";
    options.websocket.fields = {{"Origin", "x"}};
  }
  SECTION("a header of the handshake") {
    url = "ws://127.0.0.1:1";
    options.websocket.fields = {{"Sec-WebSocket-Key", "x"}};
  }
  SECTION("a subprotocol that is none") {
    url = "ws://127.0.0.1:1";
    options.websocket.subprotocols = {"a,b"};
  }
  connecting.start(url, options);
  REQUIRE(connecting.fails());
  CHECK(connecting.events->failures.front().failure == Failure::request);
  CHECK_FALSE(connecting.events->failures.front().again);
}

TEST_CASE("a peer that does not come to its end of the handshake is given up in time") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  ConnectOptions options;
  options.connect_timeout = 150ms;
  connecting.start(local(server, GENERATE("ws", "tls")), options);
  REQUIRE(connecting.fails());
  CHECK(connecting.events->failures.front().failure == Failure::timeout);
  CHECK_THAT(connecting.events->failures.front().why, Contains("within 150 ms"));
  CHECK(connecting.until([&] { return !server.notes().empty(); }));
}

TEST_CASE("an attempt is repeated after a growing delay, as often as asked for") {
  Connecting connecting;
  std::string closed_port;
  { closed_port = ScriptedServer(nullptr).port(); }
  ConnectOptions options;
  options.retries = 3;
  options.min_delay = 10ms;
  options.max_delay = 40ms;
  connecting.start("tcp://127.0.0.1:" + closed_port, options);
  auto& failures = connecting.events->failures;
  REQUIRE(connecting.until([&] { return failures.size() == 4; }));
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(failures.at(i).again);
    CHECK(*failures.at(i).again >= 10ms);
    CHECK(*failures.at(i).again <= (i == 0 ? 20ms : 40ms));
  }
  CHECK_FALSE(failures.at(3).again);
}

TEST_CASE("a lost connection is opened again") {
  ScriptedServer server([](ScriptedServer& self) {
    for (int i = 0; i < 2; ++i) self.accept().send("hello\n");
    Accepted client = self.accept();
    client.send("at last\n");
    client.wait_for_end();
  });
  Connecting connecting;
  ConnectOptions options;
  options.retries = 2;
  options.min_delay = 10ms;
  connecting.start(local(server, "text"), options);
  auto& events = *connecting.events;
  REQUIRE(connecting.until([&] { return events.messages.size() == 3; }));
  CHECK(events.messages.back() == "at last");
  REQUIRE(events.ended.size() == 2);
  CHECK(events.ended.front().reason == APPSERVER_CLOSED_BY_PEER);
  CHECK(events.ended.front().again);
}

TEST_CASE("a handler that fails ends the connection, and another one is opened") {
  ScriptedServer server([](ScriptedServer& self) {
    for (int i = 0; i < 2; ++i) {
      Accepted client = self.accept();
      client.send("hello\n");
      client.wait_for_end();
    }
  });
  Connecting connecting;
  auto& events = *connecting.events;
  const bool in_open = GENERATE(true, false);
  events.opens = [&](appserver_connection) { return !in_open || events.opened.size() > 1; };
  events.hears = [&](appserver_connection) {
    return !in_open && events.messages.size() == 1 ? net::StreamHandler::Outcome::fatal
                                                   : net::StreamHandler::Outcome::good;
  };
  ConnectOptions options;
  options.retries = 1;
  options.min_delay = 10ms;
  connecting.start(local(server, "text"), options);
  REQUIRE(connecting.until(
      [&] { return events.opened.size() == 2 && events.messages.size() == (in_open ? 1 : 2); }));
  REQUIRE(events.ended.size() == 1);
  CHECK(events.ended.front().again);
  connecting.connector.stop();
}

TEST_CASE("what is cancelled calls nobody, and closes what is open") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.send("hello\n");
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  auto& events = *connecting.events;
  Connector::ConnectId id = 0;
  SECTION("within on_open") {
    events.opens = [&](appserver_connection) { return connecting.connector.cancel(id); };
  }
  SECTION("within on_message") {
    events.hears = [&](appserver_connection) {
      connecting.connector.cancel(id);
      return net::StreamHandler::Outcome::fatal;
    };
  }
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  options.min_delay = 10ms;
  id = connecting.start(local(server, "text"), options);
  REQUIRE(connecting.until([&] { return !server.notes().empty(); }));
  REQUIRE(connecting.until([&] { return connecting.server.outbound() == 0; }));
  CHECK(events.opened.size() == 1);
  CHECK(events.ended.empty());
  CHECK(connecting.connector.size() == 0);
  CHECK_FALSE(connecting.connector.cancel(id));
}

TEST_CASE("an attempt or a delay is cancelled, within its own calls, too") {
  Connecting connecting;
  auto& events = *connecting.events;
  Connector::ConnectId id = 0;
  ConnectOptions options;
  options.retries = ConnectOptions::kForever;
  options.min_delay = 10ms;
  SECTION("at once") {
    id = connecting.start("tcp://127.0.0.1:1", options);
    CHECK(connecting.connector.cancel(id));
  }
  SECTION("in on_failed") {
    events.fails = [&] { CHECK(connecting.connector.cancel(id)); };
    id = connecting.start("tcp://127.0.0.1:1", options);
    REQUIRE(connecting.fails());
  }
  SECTION("by the end of all") {
    id = connecting.start("tcp://127.0.0.1:1", options);
    REQUIRE(connecting.fails());
    connecting.connector.stop();
    CHECK(connecting.start("tcp://127.0.0.1:1") == 0);
  }
  const auto failures = events.failures.size();
  CHECK(connecting.connector.size() == 0);
  CHECK_FALSE(run_until(
      connecting.context, [&] { return events.failures.size() != failures; }, 100ms));
}

TEST_CASE("close within on_open ends it behind what was sent") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.until("\n"));
    client.wait_for_end();
    self.note("ended");
  });
  Connecting connecting;
  connecting.events->opens = [&](appserver_connection id) {
    connecting.server.send(id, kText, "bye");
    return connecting.server.close(id, 0, {}) == APPSERVER_OK;
  };
  connecting.start(local(server, "text"));
  REQUIRE(connecting.ends());
  REQUIRE(connecting.until([&] { return server.notes().size() == 2; }));
  CHECK(server.notes().front() == "bye\n");
}

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

TEST_CASE("a client and an outbound connection are a tunnel") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.bytes(1 << 20));
    client.send("the answer");
  });
  Connecting connecting;
  Client client = connecting.connect_tcp("tcp");
  const appserver_connection inner = connecting.script.connected.front();
  connecting.events->opens = [&](appserver_connection outer) {
    return connecting.server.pipe(inner, outer) == APPSERVER_OK &&
           connecting.server.pipe(outer, inner) == APPSERVER_OK;
  };
  client.send("the question");
  connecting.server.pause(inner, true);
  connecting.start(local(server, "tcp"));
  REQUIRE(connecting.opens());
  connecting.server.pause(inner, false);
  REQUIRE(::shutdown(client.fd(), SHUT_WR) == 0);
  REQUIRE(connecting.gets(client, "the answer"));
  CHECK(server.notes() == std::vector<std::string>{"the question"});
  REQUIRE(connecting.closes(client));
  CHECK(connecting.ends());
  CHECK(connecting.script.messages.empty());
}
