#include "control/client.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <boost/json/object.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "control/socket_file.hpp"
#include "fake_daemon.hpp"

using namespace appserver::control;

namespace {

constexpr std::chrono::milliseconds kShort{100};
constexpr std::chrono::seconds kTimeout{20};

// Takes one connection, reads the head of its request, says `answer` and closes.
class OneAnswer {
 public:
  OneAnswer(appserver::os::Fd listener, std::string answer)
      : thread_([fd = std::move(listener), text = std::move(answer)] {
          ::pollfd ready{fd.get(), POLLIN, 0};
          ::poll(&ready, 1, 20'000);
          const appserver::os::Fd peer(::accept(fd.get(), nullptr, nullptr));
          char buffer[4096];
          if (::recv(peer.get(), buffer, sizeof(buffer), 0) > 0)
            appserver::os::write_all(peer.get(), text);
        }) {}
  ~OneAnswer() { thread_.join(); }

 private:
  std::thread thread_;
};

}  // namespace

TEST_CASE("without a daemon the client says so, and why") {
  const TemporaryFolder folder;
  const auto ask = [](const std::filesystem::path& path) {
    Client(path).get("/v1/status", kTimeout);
  };
  REQUIRE_THROWS_AS(ask(folder / "none.sock"), NoDaemon);
  REQUIRE_THROWS_WITH(ask(folder / "none.sock"), Catch::EndsWith("none.sock: no such socket"));
  std::ofstream(folder / "file") << "x";
  REQUIRE_THROWS_AS(ask(folder / "file"), NoDaemon);
  REQUIRE_THROWS_WITH(ask("/tmp/" + std::string(200, 'x')), Catch::Contains("File name too long"));
}

TEST_CASE("a daemon that does not answer in time is given up") {
  const TemporaryFolder folder;
  SocketFile deaf(folder / "x.sock");
  const Client client(deaf.path());
  REQUIRE_THROWS_AS(client.get("/v1/status", kShort), TimedOut);
}

TEST_CASE("a stream that stands still is given up, with what it said before") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    events->send({.text = "begun"});
    stream = std::move(events);
  };
  int lines = 0;
  REQUIRE_THROWS_AS(Client(daemon.socket())
                        .stream("/v1/reload", boost::json::object(), std::chrono::milliseconds(500),
                                [&](std::string_view) { return ++lines > 0; }),
                    TimedOut);
  REQUIRE(lines == 1);
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("a stream that breaks off is a lost connection, after the lines that came") {
  const TemporaryFolder folder;
  SocketFile file(folder / "x.sock");
  OneAnswer daemon(
      file.take(),
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n6\r\n\ntwo\nt\r\n");
  std::vector<std::string> lines;
  REQUIRE_THROWS_AS(Client(file.path())
                        .stream("/v1/reload", boost::json::object(), kTimeout,
                                [&](std::string_view line) {
                                  lines.emplace_back(line);
                                  return true;
                                }),
                    LostConnection);
  REQUIRE(lines == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a stream ends where its reader has had enough") {
  FakeDaemon daemon;
  daemon.commands.on_watch = [](const std::shared_ptr<EventStream>& events) {
    for (const char* text : {"one", "two", "three"}) events->send({.text = text});
    events->send(done_event(RolloutResult::done));
  };
  int lines = 0;
  Client(daemon.socket()).watch("/v1/rollout/events", kTimeout, [&](std::string_view) {
    return ++lines < 2;
  });
  REQUIRE(lines == 2);
}

TEST_CASE("a call ends as soon as the caller's own descriptor is readable") {
  FakeDaemon daemon;
  std::shared_ptr<EventStream> stream;
  daemon.commands.on_reload = [&](const ReloadRequest&, std::shared_ptr<EventStream> events) {
    events->send({.text = "begun"});
    stream = std::move(events);
  };
  const appserver::os::Fd interrupt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Client client(daemon.socket());
  client.interrupt_on(interrupt.get());
  REQUIRE_NOTHROW(client.get("/v1/status", kTimeout));
  REQUIRE_THROWS_AS(
      client.stream("/v1/reload", boost::json::object(), std::nullopt,
                    [&](std::string_view) { return ::eventfd_write(interrupt.get(), 1) == 0; }),
      Interrupted);
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("an answer that is not ours is not taken for one") {
  const TemporaryFolder folder;
  SocketFile file(folder / "x.sock");
  OneAnswer daemon(file.take(), "220 mail.example ESMTP\r\n");
  REQUIRE_THROWS_AS(Client(file.path()).get("/v1/status", kTimeout), LostConnection);
}

TEST_CASE("the client knows which process listens") {
  FakeDaemon daemon;
  REQUIRE(Client(daemon.socket()).daemon().pid == ::getpid());
}
