// Kept connections, queues, redirects and TLS of the HTTP client.
#include <catch2/catch.hpp>
#include <chrono>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "http_client_harness.hpp"
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

}  // namespace

TEST_CASE("a connection is kept and used again") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    for (const char* body : {"one", "two", "three"}) {
      client.request();
      client.send(plain(body));
    }
    client.wait_for_end();
  });
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 one");
  CHECK(told(calling.get(server.url())) == "200 two");
  CHECK(told(calling.get(server.url())) == "200 three");
  CHECK(server.accepted() == 1);
  CHECK(calling.client.idle_connections() == 1);
}

TEST_CASE("a connection is not kept where the answer says so, or where more came than an answer") {
  const std::string answer = GENERATE(
      as<std::string>{}, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n");
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted client = self.accept();
    client.request();
    client.send(answer);
    client.wait_for_end();
  });
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 x");
  CHECK(calling.client.idle_connections() == 0);
}

TEST_CASE("a kept connection that the server closes is forgotten at once") {
  ScriptedServer server([](ScriptedServer& self) {
    {
      Accepted client = self.accept();
      client.request();
      client.send(plain("one"));
    }
    Accepted client = self.accept();
    client.request();
    client.send(plain("two"));
  });
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 one");
  REQUIRE(run_until(calling.context, [&] { return calling.client.idle_connections() == 0; }));
  CHECK(told(calling.get(server.url())) == "200 two");
}

TEST_CASE("a kept connection is closed when it was idle for long enough") {
  HttpPoolLimits limits;
  limits.idle_timeout = 50ms;
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    client.request();
    client.send(plain("one"));
    client.wait_for_end();
    self.note("ended");
  });
  Calling calling(limits);
  CHECK(told(calling.get(server.url())) == "200 one");
  CHECK(run_until(calling.context, [&] { return !server.notes().empty(); }));
}

TEST_CASE(
    "what a kept connection loses before the first byte is asked again, once, if that may be") {
  const std::string method = GENERATE(as<std::string>{}, "GET", "PUT", "POST");
  ScriptedServer server([](ScriptedServer& self) {
    {
      Accepted client = self.accept();
      client.request();
      client.send(plain("one"));
      // It has come, and is not answered.
      self.note(client.request());
    }
    Accepted client = self.accept();
    self.note(client.request());
    client.send(plain("again"));
  });
  Calling calling;
  CHECK(told(calling.get(server.url())) == "200 one");
  HttpRequest request;
  request.method = method;
  request.url = server.url();
  const CallResult result = calling.call(request);
  if (method == "POST") {
    CHECK(failure(result) == Failure::lost);
    CHECK(server.notes().size() == 1);
  } else {
    CHECK(told(result) == "200 again");
    CHECK(server.notes().size() == 2);
  }
}

TEST_CASE("a fresh connection that ends without an answer is a failure, not another try") {
  ScriptedServer server([](ScriptedServer& self) { self.accept().request(); });
  Calling calling;
  const CallResult result = calling.get(server.url());
  CHECK(failure(result) == Failure::lost);
  CHECK_THAT(told(result), Contains("without an answer"));
  CHECK(server.accepted() == 1);
}

TEST_CASE("over the connections to one origin calls wait, and over the queue they are refused") {
  HttpPoolLimits limits;
  limits.max_connections = 1;
  limits.max_queue = 2;
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    for (int i = 0; i < 3; ++i) {
      const std::string request = client.request();
      client.send(plain(request.substr(5, 1)));
    }
    client.wait_for_end();
  });
  Calling calling(limits);
  std::deque<Calling::Pending> pending(4);
  for (std::size_t i = 0; i < pending.size(); ++i) {
    HttpRequest request;
    request.url = server.url("/" + std::to_string(i));
    calling.start(request, pending[i]);
  }
  for (const auto& each : pending) REQUIRE(calling.until_done(each));
  CHECK(told(*pending[0].result) == "200 0");
  CHECK(told(*pending[1].result) == "200 1");
  CHECK(told(*pending[2].result) == "200 2");
  CHECK(failure(*pending[3].result) == Failure::limit);
  CHECK(server.accepted() == 1);
}

TEST_CASE("redirects are answers unless they are to be followed, and then so many at most") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted client = self.accept();
    for (;;) {
      const std::string request = client.request();
      if (request.empty()) return;
      self.note(request.substr(0, request.find(" HTTP")));
      if (request.find(" /end") != std::string::npos) {
        client.send(plain("here"));
      } else {
        client.send("HTTP/1.1 302 Found\r\nLocation: ../end\r\nContent-Length: 0\r\n\r\n");
      }
    }
  });
  HttpRequest request;
  request.method = "POST";
  request.body = "form";
  request.url = server.url("/a/b");
  Calling calling;
  CHECK(told(calling.call(request)) == "302 ");
  request.options.max_redirects = 1;
  CHECK(told(calling.call(request)) == "200 here");
  CHECK(server.notes() == std::vector<std::string>{"POST /a/b", "POST /a/b", "GET /end"});
}

TEST_CASE("credentials do not follow a redirect to another origin") {
  ScriptedServer other([](ScriptedServer& self) {
    Accepted client = self.accept();
    self.note(client.request());
    client.send(plain("other"));
  });
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted client = self.accept();
    client.request();
    client.send("HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: " +
                other.url("/x") + "\r\n\r\n");
  });
  HttpRequest request;
  request.url = server.url();
  request.fields = {{"Authorization", "Bearer secret"}, {"X-Kept", "yes"}};
  request.options.max_redirects = 3;
  Calling calling;
  CHECK(told(calling.call(request)) == "200 other");
  CHECK_THAT(other.notes().front(), !Contains("secret") && Contains("X-Kept"));
}

namespace {

struct SecureServer {
  explicit SecureServer(const Wanted& wanted)
      : server(
            [](ScriptedServer& self) {
              Accepted client = self.accept();
              const std::string request = client.request();
              self.note(request);
              if (!request.empty()) client.send(plain("secret"));
              client.wait_for_end();
            },
            server_context(material_of(authority.issue(wanted)))) {
    std::ofstream(file) << authority.certificate();
  }
  ~SecureServer() { std::remove(file.c_str()); }

  HttpRequest request() const {
    HttpRequest request;
    request.url = server.url();
    request.options.ca_file = file;
    return request;
  }

  Authority authority;
  std::string file = "/tmp/http_client_test_" + std::to_string(::getpid()) + ".pem";
  ScriptedServer server;
};

}  // namespace

TEST_CASE("https asks a server whose certificate is good for its address or name") {
  const bool by_name = GENERATE(false, true);
  SecureServer secure({.names = {by_name ? "localhost" : "IP:127.0.0.1"}});
  HttpRequest request = secure.request();
  if (by_name) request.url = "https://localhost:" + secure.server.port() + "/";
  Calling calling;
  CHECK(told(calling.call(request)) == "200 secret");
}

TEST_CASE("https refuses a certificate for another host, of an unknown authority, or out of date") {
  Wanted wanted{.names = {"IP:127.0.0.1"}};
  bool trusted = true;
  std::string word;
  SECTION("another host") {
    wanted.names = {"example.com"};
    word = "mismatch";
  }
  SECTION("an unknown authority") {
    trusted = false;
    word = "certificate";
  }
  SECTION("out of date") {
    wanted.from_day = -10;
    wanted.to_day = -1;
    word = "expired";
  }
  SecureServer secure(wanted);
  HttpRequest request = secure.request();
  if (!trusted) request.options.ca_file.clear();
  Calling calling;
  const CallResult result = calling.call(request);
  INFO(told(result));
  CHECK(failure(result) == Failure::tls);
  CHECK_THAT(told(result), Contains(word));
  // Not a byte of the request.
  REQUIRE(run_until(calling.context, [&] { return !secure.server.notes().empty(); }));
  CHECK(secure.server.notes().front().empty());
}

TEST_CASE("a ca_file that cannot be read is told by its name") {
  SecureServer secure({.names = {"IP:127.0.0.1"}});
  HttpRequest request = secure.request();
  request.options.ca_file = "/nowhere/ca.pem";
  Calling calling;
  const CallResult result = calling.call(request);
  CHECK(failure(result) == Failure::tls);
  CHECK_THAT(told(result), Contains("/nowhere/ca.pem"));
}
