#include "supervisor/surge.hpp"

#include <catch2/catch.hpp>

using namespace appserver;
using supervisor::plan_recycling;
using supervisor::plan_surge;
using supervisor::RecycleWay;
using supervisor::SurgeInput;
using supervisor::SurgePlan;

namespace {

constexpr std::uint64_t kMega = 1 << 20;

}  // namespace

TEST_CASE("a surge that fits is what was asked for") {
  const SurgePlan plan = plan_surge({2, 140 * kMega, 6246 * kMega, 0});
  CHECK(plan.surge == 2);
  CHECK_FALSE(plan.stop_first);
  CHECK(plan.text == "surge 2 needs 280M, 6.1G free");
  CHECK(plan_surge({2, 140 * kMega, 280 * kMega, 0}).surge == 2);
}

TEST_CASE("a surge that does not fit goes one by one, and says why") {
  const SurgePlan plan = plan_surge({4, 100 * kMega, 399 * kMega, 0});
  CHECK(plan.surge == 1);
  CHECK_FALSE(plan.stop_first);
  CHECK(plan.text == "surge 4 needs 400M, 399M free: one worker at a time instead");
}

TEST_CASE("where not even one fits, the old worker stops first, and it says so") {
  for (const std::uint32_t surge : {1u, 4u}) {
    const SurgePlan plan = plan_surge({surge, 100 * kMega, 100 * kMega - 1, 0});
    CHECK(plan.surge == 1);
    CHECK(plan.stop_first);
    CHECK_THAT(plan.text, Catch::Contains("each worker stops before its successor starts"));
  }
  CHECK(plan_surge({1, 1, 0, 0}).stop_first);
}

TEST_CASE("what is to be left free does not count as free") {
  CHECK(plan_surge({2, 100 * kMega, 300 * kMega, 100 * kMega}).surge == 2);
  const SurgePlan plan = plan_surge({2, 100 * kMega, 300 * kMega, 101 * kMega});
  CHECK(plan.surge == 1);
  CHECK_FALSE(plan.stop_first);
  CHECK(plan.text ==
        "surge 2 needs 200M, 300M free of which 101M are to stay so: one worker at a time instead");
  CHECK(plan_surge({1, 100 * kMega, 300 * kMega, 400 * kMega}).stop_first);
}

TEST_CASE("what is not known stands in no one's way") {
  CHECK(plan_surge({3, 0, kMega, 0}).surge == 3);
  CHECK_FALSE(plan_surge({3, 0, 0, 0}).stop_first);
  CHECK(plan_surge({3, 0, 0, 0}).text == "surge 3, what a worker needs is not known");
  const SurgePlan plan = plan_surge({3, 100 * kMega, supervisor::kUnknownMemory, kMega});
  CHECK(plan.surge == 3);
  CHECK(plan.text == "surge 3, how much memory is free is not known");
}

TEST_CASE("numbers beyond all bounds do not wrap around") {
  const SurgePlan plan = plan_surge({4'000'000'000, supervisor::kUnknownMemory / 2, 1'000, 0});
  CHECK(plan.stop_first);
  CHECK(plan_surge({0, 100, 100, 0}).surge == 1);
}

TEST_CASE("a worker is recycled start-first where one more fits, or where that is not known") {
  for (const bool too_large : {false, true}) {
    for (const SurgeInput& input :
         {SurgeInput{3, 100 * kMega, 200 * kMega, 100 * kMega}, SurgeInput{1, 0, 0, 0},
          SurgeInput{1, 100 * kMega, supervisor::kUnknownMemory, kMega}}) {
      const auto plan = plan_recycling(input, too_large, true);
      CHECK(plan.way == RecycleWay::start_first);
      CHECK(plan.text.empty());
    }
  }
}

TEST_CASE("where one more does not fit, only a worker that is too large goes first") {
  const SurgeInput input{1, 100 * kMega, 200 * kMega, 101 * kMega};
  CHECK(plan_recycling(input, true, true).way == RecycleWay::stop_first);
  INFO("not the last one that serves");
  CHECK(plan_recycling(input, true, false).way == RecycleWay::wait);
  CHECK(plan_recycling(input, false, true).way == RecycleWay::wait);
  CHECK(plan_recycling(input, false, true).text ==
        "a fresh worker needs 100M, 200M free of which 101M are to stay so");
}
