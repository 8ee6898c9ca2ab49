#include "gateway/router.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace appserver::gateway;
using namespace std::chrono_literals;

namespace {

struct Delivered {
  LinkId link;
  std::uint64_t number;
  Serial client;
  EventKind kind;
  std::string body;
  bool redelivered;
};

struct Record final : Router::Sink {
  void assign(LinkId link, Serial client) override { assigned[client] = link; }
  void deliver(LinkId link, std::uint64_t number, Serial client, const Event& event) override {
    REQUIRE(assigned[client] == link);
    delivered.push_back({link, number, client, event.kind, event.body, event.redelivered});
  }
  void hold(Serial client, bool is_held) override {
    if (closed.contains(client)) return;
    REQUIRE(held.contains(client) != is_held);
    if (is_held) {
      held.insert(client);
    } else {
      held.erase(client);
    }
  }
  void lost(Serial client, const Event& event) override { gone.emplace_back(client, event.body); }
  void over(Serial client) override { CHECK(ended.insert(client).second); }

  std::map<Serial, LinkId> assigned;
  std::vector<Delivered> delivered;
  std::set<Serial> held;
  std::set<Serial> closed;
  std::set<Serial> ended;
  std::vector<std::pair<Serial, std::string>> gone;
};

struct Fixture {
  explicit Fixture(Router::Limits limits = {}) : router(limits, policy, record) {}

  void connect(Serial client) { router.add(client, {EventKind::connect, 0, ""}, now); }
  void close(Serial client) {
    record.held.erase(client);
    record.closed.insert(client);
    router.add(client, {EventKind::close, 0, ""}, now);
  }
  void message(Serial client, const std::string& body) {
    router.add(client, {EventKind::message, 0, body}, now);
  }
  void acknowledge_all(LinkId link) {
    std::vector<std::uint64_t> numbers;
    for (const auto& each : record.delivered) {
      if (each.link == link && !done.contains({link, each.number})) numbers.push_back(each.number);
    }
    for (const auto number : numbers) {
      done.insert({link, number});
      REQUIRE(router.acknowledge(link, number));
    }
  }
  // Client 7 comes to worker 1, which has yet to acknowledge its "a".
  void let_first_owe_a() {
    router.link_ready(1);
    connect(7);
    message(7, "a");
  }
  // Messages that went to a link, "!" behind those that are redelivered.
  std::string messages(LinkId link) const {
    std::string text;
    for (const auto& each : record.delivered) {
      if (each.link == link && each.kind == EventKind::message)
        text += each.body + (each.redelivered ? "! " : " ");
    }
    return text;
  }

  LeastLoaded policy;
  Record record;
  Time now{};
  Router router;
  std::set<std::pair<LinkId, std::uint64_t>> done;
};

}  // namespace

TEST_CASE("a client's events go to one worker, in order") {
  Fixture f;
  f.router.link_ready(1);
  f.router.link_ready(2);
  f.connect(7);
  f.message(7, "a");
  f.message(7, "b");
  CHECK(f.router.link_of(7) == 1);
  CHECK(f.messages(1) == "a b ");
  CHECK(f.messages(2).empty());
}

TEST_CASE("clients spread over the workers, fewest first") {
  Fixture f;
  for (LinkId link = 1; link <= 3; ++link) f.router.link_ready(link);
  std::map<LinkId, int> clients;
  for (Serial client = 1; client <= 30; ++client) {
    f.connect(client);
    ++clients[f.router.link_of(client)];
  }
  CHECK(clients == std::map<LinkId, int>{{1, 10}, {2, 10}, {3, 10}});
}

TEST_CASE("what a worker has not acknowledged is given to another once more, marked and in order") {
  Fixture f;
  f.let_first_owe_a();
  f.message(7, "b");
  f.message(7, "c");
  REQUIRE(f.router.acknowledge(1, 1));
  REQUIRE(f.router.acknowledge(1, 2));
  f.router.link_ready(2);
  f.router.link_gone(1, f.now);
  f.message(7, "d");
  CHECK(f.messages(2) == "b! c! d ");
}

TEST_CASE("at most once: what a worker may have seen is not given again") {
  Fixture f({.at_least_once = false});
  f.let_first_owe_a();
  f.router.link_ready(2);
  f.router.link_gone(1, f.now);
  f.message(7, "b");
  CHECK(f.messages(2) == "b ");
  CHECK(f.record.gone == std::vector<std::pair<Serial, std::string>>{{7, ""}});
  // The client itself is told of, or the worker would know nothing of it.
  CHECK(f.record.delivered[2].kind == EventKind::connect);
}

TEST_CASE("a worker that drains gets nothing more, and its clients go on when it has answered") {
  Fixture f;
  f.let_first_owe_a();
  f.router.link_ready(2);
  f.router.link_draining(1, f.now);
  f.message(7, "b");
  CHECK(f.messages(1) == "a ");
  CHECK(f.messages(2).empty());
  f.acknowledge_all(1);
  CHECK(f.messages(2) == "b ");
  CHECK(f.router.link_of(7) == 2);
  f.router.link_gone(1, f.now);
  CHECK(f.messages(2) == "b ");
}

TEST_CASE("a silent client of a worker that drains is another's at once") {
  Fixture f;
  f.router.link_ready(1);
  f.connect(7);
  f.acknowledge_all(1);
  f.router.link_ready(2);
  f.router.link_draining(1, f.now);
  CHECK(f.record.assigned[7] == 2);
}

TEST_CASE("without a worker messages wait, and none is lost before its time") {
  Fixture f({.park_timeout = 10s});
  f.connect(7);
  f.message(7, "a");
  f.now += 9s;
  f.message(7, "b");
  f.router.expire(f.now);
  CHECK(f.router.parked_events() == 3);
  f.now += 1s;
  f.router.expire(f.now);
  CHECK(f.record.gone == std::vector<std::pair<Serial, std::string>>{{7, "a"}});
  f.router.link_ready(1);
  CHECK(f.messages(1) == "b ");
  CHECK(f.record.delivered[0].kind == EventKind::connect);
  CHECK(f.router.parked_bytes() == 0);
}

TEST_CASE("what waits behind a slow worker is not lost, however long it takes") {
  Fixture f({.link_events = 2, .park_timeout = 10s});
  f.let_first_owe_a();
  f.message(7, "b");
  f.now += 1h;
  f.router.expire(f.now);
  CHECK(f.record.gone.empty());
  // Its time begins when there is no worker any more.
  f.router.link_gone(1, f.now);
  f.router.expire(f.now);
  CHECK(f.record.gone.empty());
  f.router.link_ready(2);
  f.acknowledge_all(2);
  CHECK(f.messages(2) == "a! b ");
}

TEST_CASE("a client that comes and goes without a worker leaves nothing") {
  Fixture f;
  f.connect(7);
  f.close(7);
  CHECK(f.router.clients() == 0);
  CHECK(f.router.parked_bytes() == 0);

  f.connect(8);
  f.message(8, "a");
  f.close(8);
  CHECK(f.router.clients() == 1);
  f.now += 1min;
  f.router.expire(f.now);
  CHECK(f.router.clients() == 0);
  f.router.link_ready(1);
  CHECK(f.record.delivered.empty());
}

TEST_CASE("a client is read no further while too much of it waits") {
  Fixture f({.client_bytes = 2 * (Router::kOverhead + 1) + Router::kOverhead});
  f.connect(7);
  f.connect(8);
  f.message(7, "a");
  CHECK(f.record.held.empty());
  f.message(7, "b");
  CHECK(f.record.held == std::set<Serial>{7});
  f.router.link_ready(1);
  CHECK(f.record.held.empty());
}

TEST_CASE("no client is read any further while too much waits in all") {
  Fixture f({.parked_bytes = 4 * Router::kOverhead});
  f.connect(1);
  f.connect(2);
  f.message(1, "a");
  CHECK(f.record.held.empty());
  f.message(1, "b");
  CHECK(f.record.held == std::set<Serial>{1, 2});
  CHECK(f.router.is_full());
  f.connect(3);
  CHECK(f.record.held == std::set<Serial>{1, 2, 3});
  f.router.link_ready(1);
  CHECK(f.record.held.empty());
  CHECK_FALSE(f.router.is_full());
}

TEST_CASE("a worker is given no more than it may owe, and none of its clients starves") {
  Fixture f({.link_events = 4});
  f.router.link_ready(1);
  f.connect(1);
  f.connect(2);
  f.acknowledge_all(1);
  for (int i = 0; i < 10; ++i) f.message(1, "x");
  f.message(2, "y");
  CHECK(f.messages(1) == "x x x x ");
  f.acknowledge_all(1);
  CHECK(f.messages(1).find('y') != std::string::npos);
  for (int i = 0; i < 5; ++i) f.acknowledge_all(1);
  CHECK(f.messages(1).size() == 22);
  CHECK(f.router.parked_events() == 0);
}

TEST_CASE("an acknowledgement of what was not given, or given back already, is refused") {
  Fixture f;
  f.router.link_ready(1);
  f.connect(7);
  CHECK_FALSE(f.router.acknowledge(1, 0));
  CHECK_FALSE(f.router.acknowledge(1, 2));
  CHECK_FALSE(f.router.acknowledge(2, 1));
  CHECK(f.router.acknowledge(1, 1));
  CHECK_FALSE(f.router.acknowledge(1, 1));
}

TEST_CASE("acknowledgements come in any order, that of the close included") {
  Fixture f;
  f.let_first_owe_a();
  f.close(7);
  CHECK(f.router.acknowledge(1, 3));
  CHECK(f.router.clients() == 1);
  f.router.link_ready(2);
  f.router.link_gone(1, f.now);
  CHECK(f.messages(2) == "a! ");
  f.acknowledge_all(2);
  CHECK(f.router.clients() == 0);
}

namespace {

// Any order of clients, workers that come, drain and die, and acknowledgements.
class Storm {
 public:
  explicit Storm(unsigned seed)
      : f_({.link_events = 16, .client_events = 5, .client_bytes = 2000, .parked_bytes = 20'000}),
        random_(seed) {}

  void run() {
    for (int i = 0; i < 5000; ++i) step();
    finish();
    check();
  }

 private:
  unsigned below(std::size_t bound) { return static_cast<unsigned>(random_() % bound); }

  void step() {
    const auto what = below(100);
    if (what < 50) {
      speak();
    } else if (what < 90) {
      acknowledge();
    } else if (what < 93 && open_.size() < 30) {
      const Serial client = ++last_client_;
      open_.push_back(client);
      f_.connect(client);
    } else if (what < 94 && !open_.empty()) {
      const auto who = open_.begin() + below(open_.size());
      f_.close(*who);
      open_.erase(who);
    } else if (what < 96 && links_.size() < 4) {
      f_.router.link_ready(links_.emplace_back(++last_link_));
    } else if (what < 98 && !links_.empty()) {
      f_.router.link_draining(links_[below(links_.size())], f_.now);
    } else if (!links_.empty()) {
      const auto which = links_.begin() + below(links_.size());
      f_.router.link_gone(*which, f_.now);
      links_.erase(which);
    }
  }

  void speak() {
    if (open_.empty()) return;
    const Serial client = open_[below(open_.size())];
    if (f_.record.held.contains(client)) return;
    f_.message(client, std::to_string(++said_[client]));
  }

  void acknowledge() {
    if (links_.empty()) return;
    const LinkId link = links_[below(links_.size())];
    const std::size_t owed = f_.router.unacknowledged(link);
    if (below(3) == 0) f_.acknowledge_all(link);
    REQUIRE(f_.router.unacknowledged(link) <= 16);
    REQUIRE(owed <= 16);
  }

  void finish() {
    for (const LinkId link : std::exchange(links_, {})) f_.router.link_gone(link, f_.now);
    const LinkId last = ++last_link_;
    f_.router.link_ready(last);
    for (const Serial client : open_) f_.close(client);
    for (int i = 0; i < 1000 && f_.router.clients() > 0; ++i) f_.acknowledge_all(last);
  }

  // Of each client: its messages in order, each once but those that are marked.
  void check() const {
    CHECK(f_.router.clients() == 0);
    CHECK(f_.router.parked_bytes() == 0);
    CHECK(f_.router.parked_events() == 0);
    CHECK(f_.record.gone.empty());
    CHECK(f_.record.held.empty());
    std::map<Serial, int> seen;
    for (const auto& each : f_.record.delivered) {
      if (each.kind != EventKind::message) continue;
      const int number = std::stoi(each.body);
      INFO("client " << each.client << ", message " << number);
      if (each.redelivered) {
        REQUIRE(number <= seen[each.client] + 1);
      } else {
        REQUIRE(number == seen[each.client] + 1);
      }
      seen[each.client] = std::max(seen[each.client], number);
    }
    for (const auto& [client, last] : said_) CHECK(seen[client] == last);
  }

  Fixture f_;
  std::mt19937 random_;
  std::vector<Serial> open_;
  std::vector<LinkId> links_;
  std::map<Serial, int> said_;
  Serial last_client_ = 0;
  LinkId last_link_ = 0;
};

}  // namespace

TEST_CASE("whatever happens to the workers, no message is lost, swapped, or doubled unmarked") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Storm(seed).run();
  }
}
