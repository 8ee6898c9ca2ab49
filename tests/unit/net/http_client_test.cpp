#include "net/client/http_client.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "http_client_harness.hpp"
#include "scratch_file.hpp"
#include "scripted_server.hpp"
#include "tls_client.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;
using namespace net::client;
using Catch::Matchers::Contains;

namespace {

std::string plain(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

// Serves one connection with one answer, and holds it until the client ends it.
ScriptedServer::Script answers(std::string answer) {
  return [answer = std::move(answer)](ScriptedServer& server) {
    Accepted client = server.accept();
    server.note(client.request());
    client.send(answer);
    client.wait_for_end();
  };
}

// The same, and ends it.
ScriptedServer::Script answers_and_ends(std::string answer) {
  return [answer = std::move(answer)](ScriptedServer& server) {
    Accepted client = server.accept();
    client.request();
    client.send(answer);
  };
}

struct Uploaded {
  std::string answer;
  std::size_t idle_connections = 0;  // right after it
};
// What a call is told that uploads 32 MiB to a server that does this, without and with TLS.
template <class Serve>
Uploaded upload_to(Serve&& serve) {
  const bool tls = GENERATE(false, true);
  ScriptedServer server([&](ScriptedServer& self) { serve(self.accept()); },
                        tls ? server_context(material_of(issue({"IP:127.0.0.1"}))) : nullptr);
  ScratchFile authorities(authority().certificate());
  HttpRequest request;
  request.method = "PUT";
  request.url = server.url();
  request.body.assign(std::size_t{32} << 20, 'x');
  request.options.timeout = 15s;
  request.options.ca_file = authorities.path();
  // Ends before the server does, which waits for that.
  Calling calling;
  return {told(calling.call(request)), calling.client.idle_connections()};
}

}  // namespace

TEST_CASE("an HTTP call gives status, headers and body, and says what it wants as HTTP has it") {
  ScriptedServer server(
      answers("HTTP/1.1 404 Not Found\r\nX-One: 1\r\nContent-Length: 4\r\n\r\nnope"));
  HttpRequest request;
  request.method = "POST";
  request.url = server.url("/a%20b?c=d#ignored");
  request.fields = {{"X-Sent", "yes"}};
  request.body = "hello";
  Calling calling;
  const CallResult result = calling.call(request);
  REQUIRE(told(result) == "404 nope");
  CHECK(std::get<HttpResponse>(result).fields.front().name == "X-One");
  CHECK(server.notes().front() == "POST /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:" + server.port() +
                                      "\r\nUser-Agent: appserverd\r\nX-Sent: yes\r\n"
                                      "Content-Length: 5\r\n\r\nhello");
}

TEST_CASE("an HTTP call is never done within the call that begins it") {
  Calling::Pending pending;
  HttpRequest request;
  request.url = "nonsense";
  Calling calling;
  calling.start(request, pending);
  CHECK(pending.calls == 0);
  REQUIRE(calling.until_done(pending));
  CHECK(failure(*pending.result) == Failure::request);
}

TEST_CASE("a chunked answer comes whole, without what stands behind it") {
  ScriptedServer server(
      answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX-Trailer: no\r\n\r\n"));
  Calling calling;
  const CallResult result = calling.get(server.url());
  REQUIRE(told(result) == "200 hello, world");
  CHECK(std::get<HttpResponse>(result).fields.size() == 1);
}

TEST_CASE("an answer without a length ends with its connection") {
  ScriptedServer server(answers_and_ends("HTTP/1.0 200 OK\r\n\r\nall of it"));
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 all of it");
  CHECK(calling.client.idle_connections() == 0);
}

TEST_CASE("interim answers are passed over") {
  ScriptedServer server(answers("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + plain("final")));
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 final");
}

TEST_CASE("the answer to HEAD has no body, whatever length it announces") {
  ScriptedServer server(answers("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"));
  HttpRequest request;
  request.method = "HEAD";
  request.url = server.url();
  Calling calling;
  CHECK(told(calling.call(request)) == "200 ");
  CHECK(calling.client.idle_connections() == 1);
}

TEST_CASE("a refused connection is told with the address") {
  std::string url;
  {
    const ScriptedServer gone(nullptr);
    url = gone.url("/x");
  }
  Calling calling;
  const CallResult result = calling.get(url);
  CHECK(failure(result) == Failure::connect);
  CHECK(told(result) ==
        "GET " + url + ": connection refused (" + url.substr(7, url.size() - 9) + ")");
}

TEST_CASE("a name that does not exist is told by its name") {
  Calling calling;
  const CallResult result = calling.get("http://no-such-host.invalid/");
  CHECK(failure(result) == Failure::connect);
  CHECK_THAT(told(result), Contains("no-such-host.invalid"));
}

TEST_CASE("a name is resolved, and its addresses are tried until one answers") {
  ScriptedServer server(answers(plain("named")));
  // The server is on 127.0.0.1 only, localhost may be ::1 as well.
  Calling calling;
  CHECK(told(calling.get("http://localhost:" + server.port() + "/")) == "200 named");
}

TEST_CASE("a TLS handshake that does not come is ended by the connect timeout") {
  ScriptedServer server([](ScriptedServer& self) { self.accept().wait_for_end(); });
  HttpRequest request;
  request.url = "https://127.0.0.1:" + server.port() + "/";
  request.options.connect_timeout = 100ms;
  Calling calling;
  const CallResult result = calling.call(request);
  CHECK(failure(result) == Failure::timeout);
  CHECK_THAT(told(result), Contains("not connected within 100 ms"));
}

TEST_CASE("an answer that does not come whole in time is a timeout, and the connection is closed") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.request();
    client.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    client.wait_for_end();
    self.note("ended");
  });
  HttpRequest request;
  request.url = server.url();
  request.options.timeout = 100ms;
  Calling calling;
  const CallResult result = calling.call(request);
  CHECK(failure(result) == Failure::timeout);
  CHECK_THAT(told(result), Contains("within 100 ms"));
  CHECK(run_until(calling.context, [&] { return !server.notes().empty(); }));
}

TEST_CASE("a server that answers a large upload before its end gives that answer") {
  bool server_saw_the_end = false;
  const std::string refusal =
      "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
  const Uploaded uploaded = upload_to([&](Accepted client) {
    client.head();
    client.send("HTTP/1.1 100 Continue\r\n\r\n");
    client.send(refusal);
    server_saw_the_end = client.wait_for_end_unread();
  });
  CHECK(uploaded.answer == "413 big");
  CHECK(server_saw_the_end);
  CHECK(uploaded.idle_connections == 0);
}

TEST_CASE("an early answer that a reset follows at once is the answer") {
  const Uploaded uploaded = upload_to([](Accepted client) {
    client.head();
    client.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    // With what was not read, its end is a reset.
  });
  CHECK(uploaded.answer == "413 big");
}

TEST_CASE("an answer over max_body is refused, however it comes") {
  const std::string answer =
      GENERATE(as<std::string>{}, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
               "HTTP/1.1 200 OK\r\n\r\nhello world");
  ScriptedServer server(answers_and_ends(answer));
  HttpRequest request;
  request.url = server.url();
  request.options.max_body = 10;
  Calling calling;
  const CallResult result = calling.call(request);
  CHECK(failure(result) == Failure::too_large);
  CHECK_THAT(told(result), Contains("over 10 bytes"));
}

TEST_CASE("an answer that is cut in its middle is no answer") {
  const std::string answer = GENERATE(
      as<std::string>{}, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 200 O",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  ScriptedServer server(answers_and_ends(answer));
  Calling calling;
  const CallResult result = calling.get(server.url());
  CHECK(failure(result) == Failure::lost);
}

TEST_CASE("an answer on whose end two readers could disagree is refused") {
  const std::string head = GENERATE(
      as<std::string>{}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n", "SSH-2.0-OpenSSH_9.2\r\n");
  ScriptedServer server(answers_and_ends(head + "\r\n0\r\n\r\n"));
  Calling calling;
  const CallResult result = calling.get(server.url());
  INFO(head << told(result));
  CHECK(failure(result) == Failure::response);
}

TEST_CASE("a head of an answer is bounded") {
  const std::string answer =
      GENERATE("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                   std::string(70'000, 'x') + "\r\nx");
  ScriptedServer server(answers_and_ends(answer));
  Calling calling;
  CHECK(failure(calling.get(server.url())) == Failure::response);
}

TEST_CASE("the chunk extensions of an answer are bounded in their sum") {
  std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const int chunks = GENERATE(60, 70);
  for (int i = 0; i < chunks; ++i) answer += "1;" + std::string(1'000, 'x') + "\r\ny\r\n";
  ScriptedServer server(answers_and_ends(answer + "0\r\n\r\n"));
  Calling calling;
  const CallResult result = calling.get(server.url());
  if (chunks == 60) {
    CHECK(told(result) == "200 " + std::string(60, 'y'));
  } else {
    CHECK(failure(result) == Failure::response);
    CHECK_THAT(told(result), Contains("its chunk extensions are over 64 KiB"));
  }
}

TEST_CASE("an answer that never ends and brings nothing is over at its time") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.request();
    client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::string chunks;
    for (int i = 0; i < 10'000; ++i) chunks += "1\r\ny\r\n";
    // Until the client ends it, which a server that never waits for it sees by its send alone.
    while (client.send(chunks)) continue;
    self.note("ended");
  });
  Calling calling;
  HttpRequest request;
  request.url = server.url();
  request.options.max_body = std::size_t{1} << 40;
  request.options.timeout = std::chrono::milliseconds(300);
  CHECK(failure(calling.call(request)) == Failure::timeout);
  CHECK(soon([&] { return server.notes().size() == 1; }));
}

TEST_CASE("what cannot be a request is told, and nothing is sent") {
  const std::string url = GENERATE(as<std::string>{}, "ftp://host/", "http:///x", "/x", "",
                                   "http://user:secret@host/", "http://host:99999/",
                                   "http://host/a b", "http://unix:relative", "https://unix:/x:/y");
  Calling calling;
  const CallResult result = calling.get(url);
  INFO(told(result));
  CHECK(failure(result) == Failure::request);
  CHECK_THAT(told(result), !Contains("secret"));
}

TEST_CASE("headers that would change the message's framing or hold a line's end are refused") {
  HttpRequest request;
  request.url = "http://127.0.0.1:9/";
  const Field field = GENERATE(Field{"Content-Length", "5"}, Field{"transfer-encoding", "chunked"},
                               Field{"Connection", "close"}, Field{"X", "a\r\nY: b"},
                               Field{"X", std::string("a\0b", 3)}, Field{"X Y", "a"});
  request.fields = {field};
  Calling calling;
  CHECK(failure(calling.call(request)) == Failure::request);
}

TEST_CASE("a cancelled call is never done, and its connection is closed") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.request());
    client.wait_for_end();
    self.note("ended");
  });
  HttpRequest request;
  request.url = server.url();
  Calling::Pending pending;
  const auto held = std::make_shared<int>(0);
  Calling calling;
  const auto id = calling.client.start(request, [&pending, held](CallResult) { ++pending.calls; });
  REQUIRE(run_until(calling.context, [&] { return server.notes().size() == 1; }));
  CHECK(calling.client.cancel(id));
  CHECK(held.use_count() == 1);
  CHECK_FALSE(calling.client.cancel(id));
  REQUIRE(run_until(calling.context, [&] { return server.notes().size() == 2; }));
  settle(calling.context);
  CHECK(pending.calls == 0);
  CHECK(calling.client.calls() == 0);
}

TEST_CASE("a client that goes takes its calls with it, uncalled") {
  ScriptedServer server([](ScriptedServer& self) { self.accept().wait_for_end(); });
  int calls = 0;
  {
    Calling calling;
    HttpRequest request;
    request.url = server.url();
    calling.client.start(request, [&](CallResult) { ++calls; });
    REQUIRE(run_until(calling.context, [&] { return server.accepted() == 1; }));
  }
  CHECK(calls == 0);
}
