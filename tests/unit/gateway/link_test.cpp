#include "gateway/link.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../net/http_server_harness.hpp"
#include "os/message_socket.hpp"

using namespace appserver;
using namespace appserver::gateway;
using appserver::test::run_until;
using appserver::test::settle;

namespace {

// Events carry what the tests send.
std::string event_of(std::string_view body) {
  std::string out;
  append_event(out, {1, 1, EventKind::message, 0, false, {}, body});
  return out;
}

Hello hello_of(Role role, std::string_view group) {
  Hello hello;
  hello.role = role;
  hello.instance = 42;
  hello.slot = 3;
  hello.group = group;
  return hello;
}

struct End {
  End(boost::asio::io_context& context, os::Fd socket)
      : link(std::make_shared<Link>(context, LinkSocket(context, std::move(socket)))) {}

  void start(Role role = Role::gateway) {
    Link::Hooks hooks;
    hooks.open = [this](const Hello& hello) {
      ++opened;
      peer = hello;
      group = hello.group;
    };
    hooks.message = [this](std::string_view message) {
      const auto event = read_event(message);
      if (!event) return false;
      bodies.emplace_back(event->body);
      ++batched;
      if (on_message) on_message();
      return true;
    };
    hooks.batch_end = [this] { batches.push_back(std::exchange(batched, 0)); };
    hooks.drained = [this] { ++drained; };
    hooks.ended = [this](const std::string& why) { ended.push_back(why); };
    link->start(hello_of(role, role == Role::gateway ? "doors" : "chat"), std::move(hooks));
  }
  void say(std::string_view body) {
    link->out() += event_of(body);
    link->flush();
  }

  std::shared_ptr<Link> link;
  std::function<void()> on_message;
  Hello peer;
  std::string group;
  std::vector<std::string> bodies;
  std::vector<int> batches;
  std::vector<std::string> ended;
  int opened = 0;
  int batched = 0;
  int drained = 0;
};

struct Pair {
  Pair() : Pair(os::make_socket_pair(SOCK_STREAM)) {}
  explicit Pair(std::pair<os::Fd, os::Fd> sockets)
      : left(context, std::move(sockets.first)), right(context, std::move(sockets.second)) {}
  ~Pair() {
    left.link->close();
    right.link->close();
  }
  void start() {
    left.start(Role::gateway);
    right.start(Role::business);
    REQUIRE(until([&] { return left.opened + right.opened == 2; }));
    right.batches.clear();  // that of the hello
  }
  template <class State>
  bool until(State&& state) {
    return run_until(context, state);
  }

  boost::asio::io_context context{1};
  End left;
  End right;
};

// One end is a link, the other a socket that says what the test wants.
struct Spoken {
  Spoken() : Spoken(os::make_socket_pair(SOCK_STREAM)) {}
  explicit Spoken(std::pair<os::Fd, os::Fd> sockets)
      : end(context, std::move(sockets.first)), peer(std::move(sockets.second)) {
    end.start();
  }
  ~Spoken() { end.link->close(); }
  void hello() {
    std::string out;
    append_hello(out, hello_of(Role::business, "chat"));
    peer.send(out);
  }
  bool ends() {
    return run_until(context, [&] { return !end.ended.empty(); });
  }

  boost::asio::io_context context{1};
  End end;
  test::Client peer;
};

}  // namespace

TEST_CASE("two ends know each other by their hellos, once") {
  Pair f;
  f.start();
  CHECK(f.left.peer.role == Role::business);
  CHECK(f.left.group == "chat");
  CHECK(f.right.peer.role == Role::gateway);
  CHECK(f.right.peer.instance == 42);
  CHECK(f.right.peer.slot == 3);
  settle(f.context);
  CHECK(f.left.opened == 1);
}

TEST_CASE("messages of all sizes come whole and in order, over unix sockets and TCP") {
  for (const bool tcp : {false, true}) {
    Pair f(tcp ? test::tcp_pair() : os::make_socket_pair(SOCK_STREAM));
    f.start();
    const std::size_t head = event_of("").size() - kLengthSize;
    const std::size_t sizes[] = {
        0, 1, 131'071, 131'072, 131'073, 10'000'000, kMaxLinkMessage - head, 3};
    std::vector<std::string> sent;
    for (const std::size_t size : sizes) {
      sent.emplace_back(size, static_cast<char>('a' + sent.size()));
      f.left.say(sent.back());
    }
    REQUIRE(f.until([&] { return f.right.bodies.size() == sent.size(); }));
    CHECK((f.right.bodies == sent));
    CHECK(f.right.ended.empty());
  }
}

TEST_CASE("messages of one turn come as one batch") {
  Pair f;
  f.start();
  for (int i = 0; i < 100; ++i) f.left.say("m");
  REQUIRE(f.until([&] { return !f.right.batches.empty(); }));
  CHECK(f.right.batches == std::vector<int>{100});
}

TEST_CASE("a link that pauses within a message gets no more until it goes on") {
  Pair f;
  f.start();
  f.right.on_message = [&] {
    if (f.right.bodies.size() == 2) f.right.link->pause();
  };
  for (const auto* body : {"a", "b", "c", "d"}) f.left.say(body);
  REQUIRE(f.until([&] { return f.right.bodies.size() == 2; }));
  f.left.say("e");
  settle(f.context);
  CHECK(f.right.bodies.size() == 2);
  f.right.link->resume();
  REQUIRE(f.until([&] { return f.right.bodies.size() == 5; }));
  CHECK(f.right.bodies == std::vector<std::string>{"a", "b", "c", "d", "e"});
}

TEST_CASE("a link is full while its peer does not read, and says when it no longer is") {
  Pair f;
  f.start();
  f.right.link->pause();
  const std::string body(Link::kFull / 8 * 5, 'x');
  SECTION("by one message after the other") {
    // What is written, and what waits behind it, fill it together only.
    f.left.say(body);
    settle(f.context);
    CHECK_FALSE(f.left.link->is_full());
    f.left.say(body);
  }
  SECTION("by what one turn appends") {
    f.left.say(body);
    f.left.say(body);
  }
  settle(f.context);
  CHECK(f.left.link->is_full());
  CHECK(f.left.drained == 0);
  f.right.link->resume();
  REQUIRE(f.until([&] { return f.right.bodies.size() == 2; }));
  REQUIRE(f.until([&] { return f.left.drained == 1; }));
  CHECK_FALSE(f.left.link->is_full());
}

TEST_CASE("what was appended before close() arrives, and no hook is called behind it") {
  for (const bool tcp : {false, true}) {
    Pair f(tcp ? test::tcp_pair() : os::make_socket_pair(SOCK_STREAM));
    f.start();
    const std::string body(20'000'000, 'x');
    f.left.say(body);
    f.left.link->close();
    f.right.say("unheard");
    REQUIRE(f.until([&] { return !f.right.ended.empty(); }));
    REQUIRE(f.right.bodies.size() == 1);
    CHECK((f.right.bodies[0] == body));
    CHECK(f.right.ended == std::vector<std::string>{"its peer has ended"});
    settle(f.context);
    CHECK(f.left.bodies.empty());
    CHECK(f.left.ended.empty());
    CHECK(f.left.drained == 0);
  }
}

TEST_CASE("a link may close itself within a message: no other one comes") {
  Pair f;
  f.start();
  f.right.on_message = [&] { f.right.link->close(); };
  f.left.say("a");
  f.left.say("b");
  REQUIRE(f.until([&] { return !f.left.ended.empty(); }));
  CHECK(f.right.bodies == std::vector<std::string>{"a"});
  CHECK(f.right.batches.empty());
  CHECK(f.right.ended.empty());
}

TEST_CASE("what a peer said before it went is heard, though nothing can be sent to it any more") {
  Spoken f;
  f.hello();
  REQUIRE(run_until(f.context, [&] { return f.end.opened == 1; }));
  f.end.link->pause();
  f.peer.send(event_of("last words"));
  f.peer.end();
  for (int i = 0; i < 3; ++i) {
    f.end.say("nobody hears");
    settle(f.context);
  }
  REQUIRE(f.ends());
  CHECK(f.end.bodies == std::vector<std::string>{"last words"});
  CHECK(f.end.ended.size() == 1);
}

TEST_CASE("what is no message ends the link, and says what it was") {
  Spoken f;
  std::string why;
  SECTION("something else than hello") {
    f.peer.send(event_of("too early"));
    why = "its peer said something else than hello";
  }
  SECTION("a hello that is too long") {
    f.peer.send(std::string("\0\0\x04\x01", 4));
    why = "its peer sent a message too long";
  }
  SECTION("a message that is too long") {
    f.hello();
    f.peer.send(std::string("\x04\0\0\x01", 4));
    why = "its peer sent a message too long";
  }
  SECTION("an empty message") {
    f.hello();
    f.peer.send(std::string(4, '\0'));
    why = "its peer sent a message that is malformed";
  }
  SECTION("a refusal") {
    std::string out;
    append_refused(out, "you are not known");
    f.peer.send(out);
    why = "its peer refused it: you are not known";
  }
  SECTION("an end in the midst of a message") {
    f.hello();
    f.peer.send(event_of("whole") + event_of("half").substr(0, 9));
    f.peer.end();
    why = "its peer has ended";
  }
  REQUIRE(f.ends());
  CHECK(f.end.ended == std::vector<std::string>{why});
  settle(f.context);
  CHECK(f.end.ended.size() == 1);
}

TEST_CASE("another version of the link is told in words to both ends") {
  Spoken f;
  Hello other = hello_of(Role::business, "chat");
  other.version = kLinkVersion + 1;
  std::string out;
  append_hello(out, other);
  f.peer.send(out);
  REQUIRE(f.ends());
  CHECK_THAT(f.end.ended.at(0), Catch::Contains("version 2") && Catch::Contains("the other 3"));
  CHECK(f.end.opened == 0);
  REQUIRE(run_until(f.context, [&] {
    f.peer.read_all();
    return f.peer.closed;
  }));
  CHECK(f.peer.got(f.end.ended[0]));
}

TEST_CASE("a peer that never says hello is given up") {
  Spoken f;
  REQUIRE(run_until(
      f.context, [&] { return !f.end.ended.empty(); }, Link::kPatience * 3));
  CHECK(f.end.ended == std::vector<std::string>{"its peer did not say hello in time"});
}

TEST_CASE("a peer that says nothing is asked for a word, and given up where none comes") {
  Spoken f;
  f.hello();
  f.end.link->watch_peer(std::chrono::milliseconds(200));
  REQUIRE(f.ends());
  CHECK(f.end.ended == std::vector<std::string>{"nothing was heard of its peer for 200 ms"});
  std::string ping;
  append_bare(ping, LinkKind::ping);
  REQUIRE(run_until(f.context, [&] {
    f.peer.read_once();
    return f.peer.got(ping);
  }));
}

TEST_CASE("two ends that have nothing to say hear of each other all the same") {
  Pair f;
  f.start();
  f.left.link->watch_peer(std::chrono::milliseconds(100));
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  REQUIRE(f.until([&] { return std::chrono::steady_clock::now() > end; }));
  CHECK(f.left.ended.empty());
  CHECK(f.right.bodies.empty());
}
