#include "supervisor/taken_away.hpp"

#include <catch2/catch.hpp>

using appserver::supervisor::TakenAway;

namespace {

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("what was taken away is told to one rollout that ends well") {
  TakenAway taken_away;
  taken_away.seen({"shop"});
  CHECK(taken_away.hand_over() == Names{"shop"});
  taken_away.ended(true);
  taken_away.seen({"shop", "mail"});
  CHECK(taken_away.hand_over() == Names{"mail"});
  taken_away.ended(true);
  CHECK(taken_away.hand_over().empty());
}

TEST_CASE("what was taken away is told again after a rollout that came to nothing") {
  TakenAway taken_away;
  taken_away.seen({"shop"});
  taken_away.hand_over();
  taken_away.ended(false);
  CHECK(taken_away.hand_over() == Names{"shop"});
}

TEST_CASE("what is there again is forgotten, until it is taken away again") {
  TakenAway taken_away;
  taken_away.seen({"shop"});
  SECTION("before a rollout") {}
  SECTION("after one that came to nothing") {
    taken_away.hand_over();
    taken_away.ended(false);
  }
  SECTION("after one that ended well") {
    taken_away.hand_over();
    taken_away.ended(true);
  }
  taken_away.seen({});
  CHECK(taken_away.hand_over().empty());
  taken_away.ended(true);
  taken_away.seen({"shop"});
  CHECK(taken_away.hand_over() == Names{"shop"});
}

TEST_CASE("what came back and went again while a rollout ran is told to the next one") {
  TakenAway taken_away;
  taken_away.seen({"shop"});
  taken_away.hand_over();
  taken_away.seen({});
  taken_away.seen({"shop"});
  taken_away.ended(true);
  CHECK(taken_away.hand_over() == Names{"shop"});
}
