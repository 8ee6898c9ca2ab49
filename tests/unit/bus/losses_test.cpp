#include "bus/losses.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace appserver::bus;
using Catch::Contains;

TEST_CASE("a report says who lost how much of what, and what to raise, the worst first") {
  Losses losses;
  losses.dropped({"api/1, pid 7", "shop/0, pid 9"}, "news", Loss::memory);
  for (int i = 0; i < 3; ++i)
    losses.dropped({"api/0, pid 6", "shop/0, pid 9"}, "prices\n", Loss::own_bound);
  losses.closed("api/2, pid 8", "it talks nonsense");
  const auto lines = losses.report({});
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "closed the connection of api/2, pid 8: it talks nonsense (1 times)");
  CHECK_THAT(lines[1], Contains("dropped 3 messages of topic \"prices?\" for api/0, pid 6, "
                                "published by shop/0, pid 9: "));
  CHECK_THAT(lines[1], Contains("1 MiB"));
  CHECK_THAT(lines[2], Contains("dropped 1 messages of topic \"news\" for api/1, pid 7, "
                                "published by shop/0, pid 9: "));
  CHECK_THAT(lines[2], Contains("daemon.bus.memory: raise that"));
}

TEST_CASE("a worker tells of what it could not bring to a bus, in one line a topic") {
  Losses losses;
  losses.dropped({}, "news", Loss::no_bus);
  losses.dropped({}, "news", Loss::no_bus);
  losses.dropped({}, "news", Loss::end);
  const auto lines = losses.report({});
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0], Contains("dropped 2 messages of topic \"news\": no bus took them within"));
  CHECK(lines[1] ==
        "dropped 1 messages of topic \"news\": the worker ended before the bus took them");
}

TEST_CASE("refused changes of keys are told of by who wanted them") {
  Losses losses;
  for (int i = 0; i < 3; ++i) losses.refused("api/0, pid 6", "there is no room");
  const auto lines = losses.report({});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "refused 3 changes of keys by api/0, pid 6: there is no room");
  CHECK(losses.report(Losses::Time::max()).empty());
}

TEST_CASE("the last report waits for no interval") {
  Losses losses;
  losses.dropped({}, "news", Loss::end);
  CHECK(losses.report({}).size() == 1);
  losses.dropped({}, "news", Loss::end);
  CHECK(losses.report(Losses::Time::max()).size() == 1);
}

TEST_CASE("losses are reported once, and not again before the interval is over") {
  Losses losses;
  const Losses::Time now{};
  CHECK(losses.report(now).empty());
  losses.dropped({"a", "b"}, "t", Loss::memory);
  CHECK(losses.report(now).size() == 1);
  losses.dropped({"a", "b"}, "t", Loss::memory);
  losses.dropped({"a", "b"}, "t", Loss::memory);
  CHECK(losses.report(now + Losses::kInterval - std::chrono::milliseconds(1)).empty());
  const auto later = losses.report(now + Losses::kInterval);
  REQUIRE(later.size() == 1);
  CHECK_THAT(later[0], Contains("dropped 2 messages"));
  CHECK(losses.report(now + 2 * Losses::kInterval).empty());
}

TEST_CASE("losses of any number of topics take a bounded report, and are all counted") {
  Losses losses;
  for (std::size_t i = 0; i < 2 * Losses::kMostKept; ++i)
    losses.dropped({"a", "b"}, std::string(200, 'x') + std::to_string(i), Loss::memory);
  const auto lines = losses.report({});
  REQUIRE(lines.size() == Losses::kMostLines);
  CHECK(lines.front().size() < 400);
  CHECK(lines.back() == "dropped " +
                            std::to_string(2 * Losses::kMostKept - (Losses::kMostLines - 1)) +
                            " further messages");
}
