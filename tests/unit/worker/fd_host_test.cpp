// Descriptors of a plugin on the loop, through the SDK and the host's own table.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <appserver/worker.hpp>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "hosting.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

os::Fd event_fd(unsigned count = 0) {
  return os::Fd(os::check(::eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd()"));
}

void raise_event(int fd) {
  const std::uint64_t one = 1;
  REQUIRE(::write(fd, &one, sizeof(one)) == sizeof(one));
}

void take_event(int fd) {
  std::uint64_t count = 0;
  REQUIRE(::read(fd, &count, sizeof(count)) == sizeof(count));
}

struct Watching : Hosting {
  Watching() {
    start();
    sdk.emplace(host, Hosting::worker);
  }
  // Runs what is ready, and no more.
  void turn() {
    context.restart();
    context.poll();
  }
  std::optional<Worker> sdk;
  int calls = 0;
};

}  // namespace

TEST_CASE("a watch tells of a descriptor again and again until what there is was read") {
  Watching at;
  const os::Fd fd = event_fd();
  const FdWatch watch = at.sdk->watch(fd.get(), FdEvents::kRead, [&](FdEvents events) {
    CHECK(events == FdEvents::kRead);
    if (++at.calls == 3) take_event(fd.get());
  });
  at.turn();
  CHECK(at.calls == 0);
  raise_event(fd.get());
  REQUIRE(at.until([&] { return at.calls == 3; }));
  at.turn();
  CHECK(at.calls == 3);
  raise_event(fd.get());
  REQUIRE(at.until([&] { return at.calls > 3; }));
}

TEST_CASE("a watch tells what has come, of what it waits for") {
  Watching at;
  auto [ours, theirs] = os::make_socket_pair(SOCK_STREAM);
  std::vector<FdEvents> seen;
  FdWatch watch = at.sdk->watch(ours.get(), FdEvents::kWrite, [&](FdEvents events) {
    seen.push_back(events);
    watch.change(FdEvents::kNone);
  });
  REQUIRE(at.until([&] { return seen.size() == 1; }));
  CHECK(seen[0] == FdEvents::kWrite);
  os::write_all(theirs.get(), std::string_view("x"));
  at.turn();
  CHECK(seen.size() == 1);
  watch.change(FdEvents::kRead | FdEvents::kWrite);
  REQUIRE(at.until([&] { return seen.size() == 2; }));
  CHECK(seen[1] == FdEvents::kBoth);
}

TEST_CASE("the other side's end comes as readable, and not at all where nothing is waited for") {
  Watching at;
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  const os::Fd reader(ends[0]);
  os::Fd writer(ends[1]);
  FdWatch watch = at.sdk->watch(reader.get(), FdEvents::kRead, [&](FdEvents events) {
    ++at.calls;
    CHECK(events == FdEvents::kRead);
    watch.change(FdEvents::kNone);
  });
  writer.reset();
  REQUIRE(at.until([&] { return at.calls == 1; }));
  at.turn();
  at.turn();
  CHECK(at.calls == 1);
}

TEST_CASE("a watch that has ended tells nothing, whoever ended it and when") {
  Watching at;
  const os::Fd first_fd = event_fd(1);
  const os::Fd second_fd = event_fd(1);
  FdWatch first;
  FdWatch second;
  // Both are ready in one turn: the first to come ends both.
  const auto end_both = [&](FdEvents) {
    ++at.calls;
    first.cancel();
    second.cancel();
  };
  first = at.sdk->watch(first_fd.get(), FdEvents::kRead, end_both);
  second = at.sdk->watch(second_fd.get(), FdEvents::kRead, end_both);
  REQUIRE(at.until([&] { return at.calls == 1; }));
  at.turn();
  CHECK(at.calls == 1);
  CHECK_FALSE(first.active());
  CHECK_FALSE(second.active());
  CHECK(::fcntl(first_fd.get(), F_GETFD) >= 0);
}

TEST_CASE("an exception of a watch is logged and the watch goes on") {
  Watching at;
  const os::Fd fd = event_fd(1);
  const FdWatch watch = at.sdk->watch(fd.get(), FdEvents::kRead, [&](FdEvents) {
    if (++at.calls == 2) take_event(fd.get());
    throw std::runtime_error("no reply");
  });
  REQUIRE(at.until([&] { return at.calls == 2; }));
  CHECK(at.next_log() == "3watched descriptor: std::runtime_error: no reply");
}

TEST_CASE("what cannot be watched is refused by name") {
  Watching at;
  const auto nothing = [](FdEvents) {};
  CHECK_THROWS_AS(at.sdk->watch(-1, FdEvents::kRead, nothing), std::invalid_argument);
  CHECK_THROWS_WITH(at.sdk->watch(987654, FdEvents::kRead, nothing),
                    Catch::Contains("descriptor 987654: it is not open"));
  const os::Fd file = os::open_file("/proc/self/exe", O_RDONLY);
  CHECK_THROWS_AS(at.sdk->watch(file.get(), FdEvents::kRead, nothing), std::invalid_argument);
  const os::Fd fd = event_fd();
  FdWatch watch = at.sdk->watch(fd.get(), FdEvents::kRead, nothing);
  CHECK_THROWS_AS(at.sdk->watch(fd.get(), FdEvents::kWrite, nothing), std::invalid_argument);
  watch.change(FdEvents::kNone);
  CHECK_THROWS_AS(at.sdk->watch(fd.get(), FdEvents::kWrite, nothing), std::invalid_argument);
  watch.cancel();
  CHECK_NOTHROW(at.sdk->watch(fd.get(), FdEvents::kWrite, nothing));
}

TEST_CASE("a descriptor closed too early, whose number is another's, disturbs nobody") {
  Watching at;
  Client client = at.connect();
  os::Fd fd = event_fd();
  const int number = fd.get();
  FdWatch early = at.sdk->watch(number, FdEvents::kRead, [&](FdEvents) { at.calls += 100; });
  fd.reset();
  os::Fd next = event_fd(1);
  REQUIRE(next.get() == number);
  FdWatch watch = at.sdk->watch(number, FdEvents::kRead, [&](FdEvents) {
    ++at.calls;
    take_event(number);
  });
  CHECK_THROWS_AS(early.change(FdEvents::kWrite), std::invalid_argument);
  early.cancel();
  REQUIRE(at.until([&] { return at.calls == 1; }));
  // The same with a socket of the worker's own.
  watch.cancel();
  FdWatch later = at.sdk->watch(number, FdEvents::kRead, [&](FdEvents) { at.calls += 100; });
  next.reset();
  Client other = at.connect();
  later.cancel();
  other.send(get("/"));
  REQUIRE(at.until([&] { return at.exchanges.size() == 1; }));
  CHECK(at.calls == 1);
}

TEST_CASE("a descriptor that lives on in a duplicate after its close does not keep the loop busy") {
  Watching at;
  os::Fd fd = event_fd(1);
  const os::Fd duplicate = fd.duplicate();
  const os::Fd good_fd = event_fd();
  FdWatch watch = at.sdk->watch(fd.get(), FdEvents::kRead, [&](FdEvents) { at.calls += 100; });
  const FdWatch good = at.sdk->watch(good_fd.get(), FdEvents::kRead, [&](FdEvents) {
    ++at.calls;
    take_event(good_fd.get());
  });
  fd.reset();
  watch.cancel();
  raise_event(good_fd.get());
  REQUIRE(at.until([&] { return at.calls == 1; }));
  at.turn();
  raise_event(good_fd.get());
  REQUIRE(at.until([&] { return at.calls == 2; }));
  // Else it would never run out of handlers.
  at.context.restart();
  CHECK(at.context.poll() < 3);
}

TEST_CASE("no watch tells anything when the worker has ended, and none can be begun") {
  Watching at;
  const os::Fd fd = event_fd(1);
  FdWatch watch = at.sdk->watch(fd.get(), FdEvents::kRead, [&](FdEvents) { ++at.calls; });
  at.plugin.stop();
  at.turn();
  CHECK(at.calls == 0);
  const os::Fd other = event_fd();
  CHECK_THROWS_WITH(at.sdk->watch(other.get(), FdEvents::kRead, [](FdEvents) {}),
                    Catch::Contains("the worker ends"));
  at.sdk.reset();
  CHECK_FALSE(watch.active());
}

TEST_CASE("the table of descriptors refuses what no C++ could ask") {
  Watching at;
  const auto* fds = static_cast<const appserver_fd_host*>(at.host->extension(APPSERVER_FD));
  REQUIRE(fds != nullptr);
  const os::Fd fd = event_fd();
  appserver_fd_watch watch = 0;
  const auto call = [](void*, std::uint32_t) noexcept {};
  CHECK(fds->watch(at.Hosting::worker, fd.get(), 4, call, nullptr, &watch) == APPSERVER_INVALID);
  CHECK(fds->watch(at.Hosting::worker, fd.get(), 1, nullptr, nullptr, &watch) == APPSERVER_INVALID);
  CHECK(fds->watch(at.Hosting::worker, fd.get(), 1, call, nullptr, nullptr) == APPSERVER_INVALID);
  REQUIRE(fds->watch(at.Hosting::worker, fd.get(), 1, call, nullptr, &watch) == APPSERVER_OK);
  CHECK(watch != 0);
  CHECK(fds->change(at.Hosting::worker, watch, 8) == APPSERVER_INVALID);
  CHECK(fds->unwatch(at.Hosting::worker, watch) == APPSERVER_OK);
  CHECK(fds->unwatch(at.Hosting::worker, watch) == APPSERVER_NOT_FOUND);
  CHECK(fds->change(at.Hosting::worker, watch, 1) == APPSERVER_NOT_FOUND);
}
