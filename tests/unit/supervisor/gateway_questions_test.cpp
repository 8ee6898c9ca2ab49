#include "supervisor/gateway_questions.hpp"

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <optional>
#include <string>

using namespace appserver;
using namespace std::chrono_literals;
using control::GatewayProblem;
using control::GatewayReply;
using control::GatewayRequest;
using control::GatewayScope;
using control::GatewayVerb;
using supervisor::GatewayQuestions;

namespace {

using Time = GatewayQuestions::Time;

const int kFirst = 0;
const int kSecond = 0;
const std::string kId = "00000000000000aa-0000000000000007";

// Questions of which the test has the answers.
struct Desk {
  std::uint64_t ask(const GatewayRequest& request, std::set<GatewayQuestions::Worker> workers,
                    bool partial = false, Time deadline = Time(5s)) {
    reply.reset();
    return questions.add(request, std::move(workers), partial, deadline,
                         [this](const GatewayReply& given) {
                           REQUIRE_FALSE(reply);
                           reply = given;
                         });
  }
  bool answer(const int& worker, std::uint64_t number, const GatewayReply& part) {
    return questions.settle(&worker, number) &&
           questions.answer(&worker, number, boost::json::serialize(control::to_json(part)));
  }

  GatewayQuestions questions;
  std::optional<GatewayReply> reply;
};

GatewayRequest about_client(GatewayVerb verb) {
  GatewayRequest request{.gateway = "gate", .verb = verb, .scope = GatewayScope::clients};
  request.of = {kId};
  return request;
}

const GatewayRequest kCount{.gateway = "gate", .verb = GatewayVerb::count};

}  // namespace

TEST_CASE("the answers of all workers are put together") {
  Desk desk;
  const auto number = desk.ask(kCount, {&kFirst, &kSecond});
  GatewayReply one{.count = 2, .failed = 1, .version = 4};
  one.clients = {{kId, "ann", 0, std::nullopt}};
  one.names = {{"room", 2}, {"hall", 1}};
  GatewayReply two{.problem = GatewayProblem::full, .count = 3};
  two.clients = {{kId, "bob", 1, "s"}};
  two.names = {{"room", 5}};
  REQUIRE(desk.answer(kFirst, number, one));
  CHECK_FALSE(desk.reply);
  REQUIRE(desk.answer(kSecond, number, two));
  GatewayReply all{.problem = GatewayProblem::full, .count = 5, .failed = 1, .version = 4};
  all.clients = {one.clients[0], two.clients[0]};
  all.names = {{"room", 7}, {"hall", 1}};
  CHECK(desk.reply == all);
  CHECK_FALSE(desk.questions.next_deadline());
}

TEST_CASE("who does not answer in time, dies, or answers nonsense, makes the reply partial") {
  Desk desk;
  const auto number = desk.ask(kCount, {&kFirst, &kSecond});
  REQUIRE(desk.answer(kFirst, number, {.count = 2}));
  SECTION("in time") {
    CHECK(desk.questions.next_deadline() == Time(5s));
    desk.questions.expire(Time(4999ms));
    CHECK_FALSE(desk.reply);
    desk.questions.expire(Time(5s));
  }
  SECTION("dies") { desk.questions.gone(&kSecond); }
  SECTION("cannot") {
    CHECK(desk.questions.settle(&kSecond, number));
    desk.questions.fail(&kSecond, number);
  }
  SECTION("nonsense") {
    CHECK(desk.questions.settle(&kSecond, number));
    CHECK_FALSE(desk.questions.answer(&kSecond, number, "{\"count\": 2}"));
  }
  CHECK(desk.reply == GatewayReply{.partial = true, .count = 2});
  // What comes late, or once more, changes nothing.
  CHECK_FALSE(desk.questions.settle(&kFirst, number));
  desk.answer(kSecond, number, {.count = 9});
  desk.questions.gone(&kSecond);
  desk.questions.expire(Time(1h));
}

TEST_CASE("where no worker is there, the reply is there at once") {
  Desk desk;
  desk.ask(kCount, {}, true);
  CHECK(desk.reply == GatewayReply{.partial = true});
}

TEST_CASE("a client that nobody has is told, unless somebody was not asked, or it was a question") {
  Desk desk;
  for (const GatewayVerb verb :
       {GatewayVerb::send, GatewayVerb::close, GatewayVerb::destroy, GatewayVerb::bind_uid,
        GatewayVerb::set_session, GatewayVerb::session}) {
    const auto number = desk.ask(about_client(verb), {&kFirst});
    desk.answer(kFirst, number, {});
    CHECK(desk.reply == GatewayReply{.problem = GatewayProblem::no_client});
  }
  desk.ask(about_client(GatewayVerb::send), {}, true);
  CHECK(desk.reply == GatewayReply{.partial = true});
  const auto conflict = desk.ask(about_client(GatewayVerb::set_session), {&kFirst});
  desk.answer(kFirst, conflict, {.problem = GatewayProblem::conflict, .failed = 1});
  CHECK(desk.reply->problem == GatewayProblem::conflict);
  for (const GatewayVerb verb : {GatewayVerb::clients, GatewayVerb::count, GatewayVerb::uids}) {
    const auto number = desk.ask(about_client(verb), {&kFirst});
    desk.answer(kFirst, number, {});
    CHECK(desk.reply == GatewayReply{});
  }
  GatewayRequest to_all{.gateway = "gate", .verb = GatewayVerb::send};
  desk.answer(kFirst, desk.ask(to_all, {&kFirst}), {});
  CHECK(desk.reply == GatewayReply{});
}

TEST_CASE("answers that are too large together are given up, in words") {
  Desk desk;
  std::vector<int> many(16);
  std::set<GatewayQuestions::Worker> workers;
  for (const int& worker : many) workers.insert(&worker);
  const auto number = desk.ask(kCount, workers);
  GatewayReply part{.count = 1};
  part.clients = {{kId, "ann", 1, std::string(900'000, 'x')}};
  for (const int& worker : many) REQUIRE(desk.answer(worker, number, part));
  REQUIRE(desk.reply);
  CHECK(desk.reply->problem == GatewayProblem::too_large);
  CHECK(desk.reply->clients.empty());
}

TEST_CASE("questions that wait are bounded, and those that one worker owes") {
  Desk desk;
  GatewayQuestions& questions = desk.questions;
  std::vector<std::uint64_t> numbers;
  const auto ask = [&](std::set<GatewayQuestions::Worker> workers) {
    return questions.add(kCount, std::move(workers), false, Time(5s), [](const GatewayReply&) {});
  };
  for (std::size_t i = 0; i < GatewayQuestions::kMost; ++i) {
    CHECK_FALSE(questions.is_full(true));
    CHECK(questions.is_full(false) ==
          (i >= GatewayQuestions::kMost - GatewayQuestions::kForOperators));
    numbers.push_back(ask({&kFirst}));
  }
  CHECK(questions.is_full(true));
  questions.expire(Time(5s));
  CHECK_FALSE(questions.is_full(true));
  // Those that were given up still lie in its channel.
  CHECK_FALSE(questions.may_ask(&kFirst));
  CHECK(questions.may_ask(&kSecond));
  CHECK_FALSE(questions.settle(&kFirst, numbers.front()));
  CHECK(questions.may_ask(&kFirst));
  ask({&kFirst});
  CHECK_FALSE(questions.may_ask(&kFirst));
  questions.gone(&kFirst);
  CHECK(questions.may_ask(&kFirst));
  CHECK_FALSE(questions.is_full(true));
}

TEST_CASE("who is answered may ask anew within the answer") {
  GatewayQuestions questions;
  int answers = 0;
  const auto last = [&](const GatewayReply&) { ++answers; };
  questions.add(kCount, {&kFirst}, false, Time(1s), [&](const GatewayReply&) {
    ++answers;
    questions.add(kCount, {&kFirst}, false, Time(2s), last);
  });
  questions.expire(Time(1s));
  CHECK(answers == 1);
  questions.gone(&kFirst);
  CHECK(answers == 2);
}
