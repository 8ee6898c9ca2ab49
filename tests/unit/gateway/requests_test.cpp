#include "gateway/requests.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace appserver::gateway;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kEast = 101;
constexpr std::uint64_t kWest = 102;

struct Asked {
  std::uint64_t ask(std::set<std::uint64_t> gateways, bool partial = false) {
    return requests.add(std::move(gateways), partial, now + 5s,
                        [this](const Requests::Result& result) { results.push_back(result); });
  }
  bool answer(std::uint64_t gateway, std::uint64_t request, std::uint64_t number = 0) {
    Answer answer;
    answer.request = request;
    answer.number = number;
    return requests.answer(gateway, answer);
  }

  Time now{};
  Requests requests;
  std::vector<Requests::Result> results;
};

}  // namespace

TEST_CASE("answers of several gateways, in several parts, are put together") {
  Asked f;
  const auto request = f.ask({kEast, kWest});
  REQUIRE(request != 0);
  Answer part;
  part.request = request;
  part.more = true;
  part.clients = {{1, "alice", SessionView{7, "s"}}};
  part.names = {{"room", 2}};
  REQUIRE(f.requests.answer(kEast, part));
  part.more = false;
  part.clients = {{2, "", {}}};
  part.names = {{"hall", 1}};
  REQUIRE(f.requests.answer(kEast, part));
  CHECK(f.results.empty());
  part.names = {{"room", 40}};
  REQUIRE(f.requests.answer(kWest, part));
  REQUIRE(f.results.size() == 1);
  const auto& result = f.results[0];
  CHECK(result.result == TableResult::ok);
  CHECK_FALSE(result.partial);
  REQUIRE(result.clients.size() == 3);
  CHECK(result.clients[0].client == ClientId{kEast, 1});
  CHECK(result.clients[0].uid == "alice");
  CHECK(result.clients[0].session->version == 7);
  CHECK(result.clients[2].client == ClientId{kWest, 2});
  CHECK_FALSE(result.clients[2].session);
  CHECK(result.names == std::map<std::string, std::uint64_t>{{"hall", 1}, {"room", 42}});
}

TEST_CASE("numbers are summed, and one gateway's refusal is the result") {
  Asked f;
  auto request = f.ask({kEast, kWest});
  f.answer(kEast, request, 2);
  f.answer(kWest, request, 3);
  REQUIRE(f.results.size() == 1);
  CHECK(f.results[0].number == 5);
  request = f.ask({kEast, kWest});
  Answer refused;
  refused.request = request;
  refused.result = TableResult::conflict;
  f.requests.answer(kEast, refused);
  f.answer(kWest, request);
  CHECK(f.results.at(1).result == TableResult::conflict);
}

TEST_CASE("an answer is partial where a gateway is gone, is late, or was not there") {
  Asked f;
  SECTION("gone") {
    const auto request = f.ask({kEast, kWest});
    f.requests.gateway_gone(kWest);
    CHECK(f.results.empty());
    f.answer(kEast, request, 2);
  }
  SECTION("gone behind the other's answer") {
    const auto request = f.ask({kEast, kWest});
    f.answer(kEast, request, 2);
    f.requests.gateway_gone(kWest);
  }
  SECTION("late") {
    const auto request = f.ask({kEast, kWest});
    f.answer(kEast, request, 2);
    f.requests.expire(f.now + 4999ms);
    CHECK(f.results.empty());
    f.requests.expire(f.now + 5s);
    CHECK(f.answer(kWest, request, 3));  // nobody waits for it any more
  }
  SECTION("not there") { f.answer(kEast, f.ask({kEast}, true), 2); }
  REQUIRE(f.results.size() == 1);
  CHECK(f.results[0].partial);
  CHECK(f.results[0].number == 2);
  f.requests.expire(f.now + 1h);
  CHECK(f.results.size() == 1);
}

TEST_CASE("what nobody was asked is answered all at once, at the next look") {
  Asked f;
  f.requests.add({}, false, f.now, [&](const Requests::Result& r) { f.results.push_back(r); });
  CHECK(f.results.empty());
  f.requests.expire(f.now);
  REQUIRE(f.results.size() == 1);
  CHECK_FALSE(f.results[0].partial);
}

TEST_CASE("a gateway that answers what it was not asked is told apart") {
  Asked f;
  const auto request = f.ask({kEast});
  CHECK_FALSE(f.answer(kWest, request));
  CHECK_FALSE(f.answer(kEast, request + 1));
  CHECK_FALSE(f.answer(kEast, 0));
  CHECK(f.results.empty());
  CHECK(f.answer(kEast, request));
  CHECK(f.results.size() == 1);
}

TEST_CASE("an answer that is too large ends as such, and the rest of it is dropped") {
  Asked f;
  const auto request = f.ask({kEast, kWest});
  const std::string session(ClientTable::kMaxSession, 's');
  Answer part;
  part.request = request;
  part.more = true;
  part.clients.resize(1000, {1, "", SessionView{1, session}});
  int parts = 0;
  while (f.results.empty() && parts++ < 10) REQUIRE(f.requests.answer(kEast, part));
  CHECK(parts == 5);  // of 64 MB each
  REQUIRE(f.results.size() == 1);
  CHECK(f.results[0].result == TableResult::too_large);
  CHECK(f.requests.answer(kEast, part));
  CHECK(f.answer(kWest, request));
  CHECK(f.results.size() == 1);
}

TEST_CASE("more questions than kMost are refused until one is answered") {
  Asked f;
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < Requests::kMost; ++i) last = f.ask({kEast});
  REQUIRE(last != 0);
  CHECK(f.ask({kEast}) == 0);
  f.answer(kEast, last);
  CHECK(f.ask({kEast}) != 0);
}

TEST_CASE("what is forgotten or cleared is never answered") {
  Asked f;
  const auto forgotten = f.ask({kEast});
  const auto kept = f.ask({kEast});
  f.requests.forget(forgotten);
  CHECK(f.answer(kEast, forgotten));
  CHECK(f.results.empty());
  f.answer(kEast, kept);
  CHECK(f.results.size() == 1);
  f.ask({kEast});
  f.requests.clear();
  f.requests.expire(f.now + 1h);
  f.requests.gateway_gone(kEast);
  CHECK(f.results.size() == 1);
}

TEST_CASE("who is answered may ask anew, and give up others, from within") {
  Asked f;
  std::uint64_t second = 0;
  int firsts = 0;
  const auto give_up = [&](const Requests::Result&) {
    ++firsts;
    f.requests.forget(second);
    f.ask({kEast});
  };
  SECTION("as an answer comes") {
    const auto first = f.requests.add({kEast}, false, f.now + 5s, give_up);
    second = f.ask({kEast});
    f.answer(kEast, first);
    f.answer(kEast, second);
  }
  SECTION("as a gateway is gone") {
    f.requests.add({kEast}, false, f.now + 5s, give_up);
    second = f.ask({kEast});
    f.requests.gateway_gone(kEast);
  }
  SECTION("as time is up") {
    f.requests.add({kEast}, false, f.now + 1s, give_up);
    second = f.ask({kEast});
    f.now += 1s;
    f.requests.expire(f.now + 4s);
  }
  CHECK(firsts == 1);
  CHECK(f.results.empty());  // the second was given up, the third waits
  f.requests.gateway_gone(kEast);
  CHECK(f.results.size() == 1);
}

TEST_CASE("who is answered may clear all from within") {
  Asked f;
  int done = 0;
  for (int i = 0; i < 3; ++i) {
    f.requests.add({kEast}, false, f.now, [&](const Requests::Result&) {
      ++done;
      f.requests.clear();
    });
  }
  f.requests.expire(f.now);
  CHECK(done == 1);
}
