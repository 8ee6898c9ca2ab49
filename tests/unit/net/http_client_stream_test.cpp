// Outbound calls whose answers come in pieces.
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "http_client_harness.hpp"
#include "scripted_server.hpp"

using namespace appserver;
using namespace appserver::test;
using namespace std::chrono_literals;
using net::client::Failure;
using net::client::HttpRequest;
using net::client::HttpResponse;

namespace {

struct Streamed : Calling {
  using Calling::Calling;

  void begin(const std::string& url, std::chrono::milliseconds timeout = 10s,
             unsigned max_redirects = 0, const std::string& method = "GET") {
    HttpRequest request;
    request.method = method;
    request.url = url;
    request.options.timeout = timeout;
    request.options.max_redirects = max_redirects;
    request.options.max_body = 1'000;
    call = client.stream(
        request,
        {[this](const HttpResponse& head) {
           heads.push_back(std::to_string(head.status));
           if (on_head) on_head();
         },
         [this](std::string_view piece) {
           body += piece;
           largest = std::max(largest, piece.size());
           if (on_data) on_data();
         }},
        [this](const net::client::CallResult& result) { ends.push_back(told(result)); });
  }
  template <typename State>
  bool until(State&& state) {
    return run_until(context, state);
  }
  bool ended() {
    return until([&] { return !ends.empty(); });
  }

  net::client::HttpClient::CallId call = 0;
  std::vector<std::string> heads;
  std::string body;
  std::size_t largest = 0;
  std::vector<std::string> ends;
  std::function<void()> on_head;
  std::function<void()> on_data;
};

const std::string kHead = "HTTP/1.1 200 OK\r\n";

}  // namespace

TEST_CASE("an answer in pieces is given as it arrives, head first, whatever its size") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send(kHead + "Content-Length: 5000005\r\n\r\n");
    peer.send("first");
    peer.until("never");  // the client's end, once it has the rest
  });
  Streamed calling;
  calling.begin(server.url());
  REQUIRE(calling.until([&] { return calling.body == "first"; }));
  CHECK(calling.heads == std::vector<std::string>{"200"});
  CHECK(calling.ends.empty());
  REQUIRE(calling.client.cancel(calling.call));
}

TEST_CASE("a large answer in pieces comes whole, over max_body, and keeps its connection") {
  const bool chunked = GENERATE(false, true);
  std::string all;
  for (int i = 0; all.size() < 5'000'000; ++i) all += std::to_string(i) + " ";
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    if (chunked) {
      peer.send(kHead + "Transfer-Encoding: chunked\r\n\r\n4C4B40\r\n");
      peer.send(all.substr(0, 5'000'000));
      peer.send("\r\n0\r\n\r\n");
    } else {
      peer.send(kHead + "Content-Length: 5000000\r\n\r\n");
      peer.send(all.substr(0, 5'000'000));
    }
    peer.request();
    peer.send(kHead + "Content-Length: 4\r\n\r\nnext");
    peer.wait_for_end();
  });
  Streamed calling;
  calling.begin(server.url());
  REQUIRE(calling.ended());
  CHECK(calling.ends == std::vector<std::string>{"200 "});
  CHECK(calling.body.size() == 5'000'000);
  CHECK((all.substr(0, 5'000'000) == calling.body));
  CHECK(calling.largest <= 65'536);
  CHECK(told(calling.get(server.url())) == "200 next");
  CHECK(server.accepted() == 1);
}

TEST_CASE("a paused answer is read no more, has no timeout, and goes on where it was") {
  constexpr std::size_t kSize = 40'000'000;
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send(kHead + "Content-Length: 40000000\r\n\r\n");
    const std::string piece(1'000'000, 'x');
    for (int i = 0; i < 40; ++i) {
      if (!peer.send(piece)) return;
      self.note("sent");
    }
    peer.wait_for_end();
  });
  Streamed calling;
  calling.on_data = [&] {
    if (calling.body.size() > 65'536) return;
    REQUIRE(calling.client.pause(calling.call, true));
  };
  calling.begin(server.url(), 300ms);
  REQUIRE(calling.until([&] { return !calling.body.empty(); }));
  const std::size_t had = calling.body.size();
  // Twice as long as it may take without a pause.
  const auto end = std::chrono::steady_clock::now() + 600ms;
  CHECK(calling.until([&] { return std::chrono::steady_clock::now() > end; }));
  CHECK(calling.body.size() == had);
  CHECK(calling.ends.empty());
  CHECK(server.notes().size() < 40);
  calling.on_data = nullptr;
  REQUIRE(calling.client.pause(calling.call, false));
  REQUIRE(calling.ended());
  CHECK(calling.ends == std::vector<std::string>{"200 "});
  CHECK(calling.body.size() == kSize);
  CHECK_FALSE(calling.client.pause(calling.call, true));
}

TEST_CASE("an answer in pieces has its timeout anew with each piece, and fails where none comes") {
  constexpr auto kTimeout = 2'000ms;
  std::promise<void> wanted;
  std::promise<void> sent;
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send(kHead + "Content-Length: 100\r\n\r\n");
    wanted.get_future().wait_for(20s);
    peer.send("piece");
    sent.set_value();
    peer.wait_for_end();
  });
  Streamed calling;
  std::chrono::steady_clock::time_point last;
  calling.on_data = [&] { last = std::chrono::steady_clock::now(); };
  calling.begin(server.url(), kTimeout);
  CHECK(calling.until([&] { return !calling.heads.empty(); }));
  // Time must pass, or a timeout that is not anew would look alike. The loop stands still
  // meanwhile: however long this takes, the piece is there before it looks at the time.
  std::this_thread::sleep_for(kTimeout / 4);
  wanted.set_value();
  REQUIRE(sent.get_future().wait_for(20s) == std::future_status::ready);
  REQUIRE(calling.ended());
  CHECK(calling.body == "piece");
  CHECK(std::chrono::steady_clock::now() - last >= kTimeout);
  CHECK(calling.ends.front() ==
        "GET " + server.url() + ": no more of the answer within 2000 ms (timeout)");
}

TEST_CASE("a paused answer has no end until it goes on, whole or lost") {
  struct Case {
    std::string method;
    std::string answer;
    std::string end;
  };
  const std::string announced = kHead + "Content-Length: 9\r\n\r\n";
  const std::string lost = ": the server closed the connection before the answer was whole";
  const Case each =
      GENERATE_COPY(Case{"GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 "},
                    Case{"HEAD", announced, "200 "}, Case{"GET", announced, "GET URL" + lost});
  const bool is_cancelled = GENERATE(false, true);
  const bool is_lost = each.end.find(lost) != std::string::npos;
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send(each.answer);
    if (is_lost) {
      peer = Accepted(os::Fd(), nullptr);
      peer = self.accept();
    }
    peer.request();
    peer.send(kHead + "Content-Length: 4\r\n\r\nnext");
    peer.wait_for_end();
  });
  net::client::HttpPoolLimits limits;
  limits.max_connections = 1;
  Streamed calling(limits);
  calling.on_head = [&] { CHECK(calling.client.pause(calling.call, true)); };
  calling.begin(server.url(), 10s, 0, each.method);
  // Of one connection: what waits for it is answered once that of the first is over.
  REQUIRE(told(calling.get(server.url())) == "200 next");
  settle(calling.context);
  CHECK(calling.heads.size() == 1);
  CHECK(calling.ends.empty());
  CHECK(calling.client.calls() == 1);
  if (is_cancelled) {
    REQUIRE(calling.client.cancel(calling.call));
    settle(calling.context);
    CHECK(calling.ends.empty());
  } else {
    REQUIRE(calling.client.pause(calling.call, false));
    CHECK(calling.ends.empty());
    REQUIRE(calling.ended());
    std::string end = each.end;
    if (is_lost) end.replace(end.find("URL"), 3, server.url());
    CHECK(calling.ends == std::vector<std::string>{end});
  }
  CHECK(calling.client.calls() == 0);
}

TEST_CASE("an answer in pieces that is not whole says so behind what has come") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send(kHead + "Content-Length: 100\r\n\r\nhalf");
  });
  Streamed calling;
  calling.begin(server.url());
  REQUIRE(calling.ended());
  CHECK(calling.body == "half");
  CHECK(calling.ends.front() == "GET " + server.url() +
                                    ": the server closed the connection before the answer was "
                                    "whole");
}

TEST_CASE("an answer in pieces may have none, and its call may be cancelled from within") {
  ScriptedServer server([](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    peer.send("HTTP/1.1 100 Continue\r\n\r\n" + kHead + "Content-Length: 9\r\n\r\n");
    peer.request();
    peer.send(kHead + "Content-Length: 4\r\n\r\nbody");
    peer.wait_for_end();
  });
  Streamed calling;
  calling.begin(server.url(), 10s, 0, "HEAD");
  REQUIRE(calling.ended());
  CHECK(calling.heads == std::vector<std::string>{"200"});
  CHECK(calling.body.empty());
  calling.on_data = [&] { calling.client.cancel(calling.call); };
  calling.begin(server.url());
  REQUIRE(calling.until([&] { return calling.body == "body"; }));
  settle(calling.context);
  CHECK(calling.ends.size() == 1);
  CHECK(calling.client.calls() == 0);
}

TEST_CASE("of redirects that are followed only the last answer is given, the others are bounded") {
  const bool endless = GENERATE(false, true);
  ScriptedServer server([&](ScriptedServer& self) {
    Accepted peer = self.accept();
    peer.request();
    if (endless) {
      peer.send("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 2000\r\n\r\n");
      peer.send(std::string(2'000, 'x'));
    } else {
      peer.send("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 5\r\n\r\nthere");
      peer.request();
      peer.send(kHead + "Content-Length: 4\r\n\r\nhere");
    }
    peer.wait_for_end();
  });
  Streamed calling;
  calling.begin(server.url(), 10s, 3);
  REQUIRE(calling.ended());
  if (endless) {
    CHECK(calling.ends.front().find("over 1000 bytes (max_body)") != std::string::npos);
    CHECK(calling.heads.empty());
  } else {
    CHECK(calling.heads == std::vector<std::string>{"200"});
    CHECK(calling.body == "here");
  }
}
