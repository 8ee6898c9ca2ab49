#include "supervisor/probe.hpp"

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <optional>

#include "loop.hpp"
#include "os/message_socket.hpp"

using namespace appserver;
using Catch::Matchers::Contains;
using std::chrono::milliseconds;

namespace {

struct Probing {
  explicit Probing(milliseconds timeout = milliseconds(20'000)) {
    auto [ours, theirs] = os::make_socket_pair(SOCK_STREAM);
    worker = std::move(theirs);
    supervisor::probe_http(context, std::move(ours), "/healthz", timeout,
                           [this](bool ok, const std::string& reason) {
                             ++calls;
                             passed = ok;
                             why = reason;
                           });
  }

  std::string read_request() {
    std::string request;
    test::run_until(context, [&] {
      std::array<char, 4'096> buffer;
      const auto got = ::recv(worker.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) request.append(buffer.data(), static_cast<std::size_t>(got));
      return request.ends_with("\r\n\r\n");
    });
    return request;
  }

  void answer(std::string_view text) {
    REQUIRE(::send(worker.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
  }

  bool done() {
    const bool in_time = test::run_until(context, [&] { return calls > 0; });
    test::settle(context);
    return in_time && calls == 1;
  }

  boost::asio::io_context context{1};
  os::Fd worker;
  int calls = 0;
  bool passed = false;
  std::string why;
};

}  // namespace

TEST_CASE("a probe is a whole GET request of its path that asks for the end of the connection") {
  Probing probing;
  const std::string request = probing.read_request();
  CHECK(request.starts_with("GET /healthz HTTP/1.1\r\n"));
  CHECK_THAT(request, Contains("Host: ") && Contains("Connection: close\r\n"));
  probing.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(probing.done());
  CHECK(probing.passed);
}

TEST_CASE("2xx and 3xx pass, whatever their body is framed by") {
  const std::string answer =
      GENERATE(as<std::string>{}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
               "HTTP/1.1 204 No Content\r\n\r\n",
               "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
               "HTTP/1.1 200 OK\r\n\r\nuntil the end");
  Probing probing;
  probing.answer(answer);
  probing.read_request();
  probing.worker.reset();
  REQUIRE(probing.done());
  CHECK(probing.passed);
}

TEST_CASE("other statuses fail by name") {
  const int status = GENERATE(400, 404, 500, 503);
  Probing probing;
  probing.answer("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n");
  REQUIRE(probing.done());
  CHECK_FALSE(probing.passed);
  CHECK(probing.why == "GET /healthz answered " + std::to_string(status));
}

TEST_CASE("what is no answer fails with a reason") {
  Probing probing;
  SECTION("garbage") { probing.answer("SSH-2.0-OpenSSH\r\n\r\n"); }
  SECTION("the end") {
    probing.read_request();
    probing.worker.reset();
  }
  SECTION("the end within an answer") {
    probing.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    probing.read_request();
    probing.worker.reset();
  }
  SECTION("an answer beyond the bound") {
    probing.answer("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n");
  }
  REQUIRE(probing.done());
  CHECK_FALSE(probing.passed);
  CHECK_THAT(probing.why, Contains("GET /healthz"));
}

TEST_CASE("a worker that is gone before the request fails the probe") {
  boost::asio::io_context context{1};
  auto [ours, theirs] = os::make_socket_pair(SOCK_STREAM);
  theirs.reset();
  std::optional<bool> passed;
  supervisor::probe_http(context, std::move(ours), "/", milliseconds(20'000),
                         [&](bool ok, const std::string&) { passed = ok; });
  REQUIRE(test::run_until(context, [&] { return passed.has_value(); }));
  CHECK(passed == false);
}

TEST_CASE("silence, and an answer that never ends, fail when the time is over") {
  const auto begin = std::chrono::steady_clock::now();
  Probing probing(milliseconds(100));
  SECTION("silence") {}
  SECTION("half an answer") { probing.answer("HTTP/1.1 200 OK\r\nContent-Le"); }
  REQUIRE(probing.done());
  CHECK_FALSE(probing.passed);
  CHECK_THAT(probing.why, Contains("GET /healthz"));
  CHECK(std::chrono::steady_clock::now() - begin >= milliseconds(100));
}
