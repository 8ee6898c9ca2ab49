#include "supervisor/canary.hpp"

#include <catch2/catch.hpp>
#include <memory>

using namespace appserver;
using Catch::Matchers::Contains;
using std::chrono::milliseconds;
using supervisor::CanarySample;
using supervisor::CanaryVerdict;
using supervisor::judge_canary;

namespace {

// `slow` of the requests took `slow_time`, the others `time`.
CanarySample make_sample(std::uint64_t requests, std::uint64_t errors,
                         milliseconds time = milliseconds(6), std::uint64_t slow = 0,
                         milliseconds slow_time = milliseconds(0)) {
  CanarySample sample;
  sample.requests = requests;
  sample.server_errors = errors;
  sample.latency[telemetry::LatencyHistogram::bucket_of(time)] += requests - slow;
  sample.latency[telemetry::LatencyHistogram::bucket_of(slow_time)] += slow;
  return sample;
}

CanaryVerdict verdict(const CanarySample& canary, const CanarySample& others) {
  return judge_canary(canary, others, 100).verdict;
}

}  // namespace

TEST_CASE("a canary that does as the others do is as good, and says with which numbers") {
  const auto judged = judge_canary(make_sample(1204, 1), make_sample(3577, 3), 100);
  CHECK(judged.verdict == CanaryVerdict::better_or_equal);
  CHECK(judged.text == "5xx 0.1% of 1204 (old 0.1% of 3577), p99 8 ms (old 8 ms)");
}

TEST_CASE("too few answers on either side are inconclusive, however bad they are") {
  for (const auto& judged : {judge_canary(make_sample(99, 99), make_sample(3577, 0), 100),
                             judge_canary(make_sample(3577, 3577), make_sample(99, 0), 100),
                             judge_canary(CanarySample{}, make_sample(10, 0), 0)}) {
    CHECK(judged.verdict == CanaryVerdict::inconclusive);
  }
  CHECK(judge_canary(make_sample(99, 99), make_sample(3577, 0), 100).text ==
        "too few answers to judge by: 99 (old 3577), 100 of each are needed");
  CHECK(judge_canary(make_sample(100, 0), make_sample(100, 0), 100).verdict !=
        CanaryVerdict::inconclusive);
}

TEST_CASE("a share of errors that chance does not explain is worse") {
  CHECK(verdict(make_sample(1000, 30), make_sample(3000, 30)) == CanaryVerdict::worse);
  CHECK(verdict(make_sample(1000, 1000), make_sample(3000, 0)) == CanaryVerdict::worse);
  CHECK(verdict(make_sample(100, 3), make_sample(300, 0)) == CanaryVerdict::worse);
  CHECK_THAT(judge_canary(make_sample(1000, 30), make_sample(3000, 30), 100).text,
             Contains("5xx 3.0% of 1000 (old 1.0% of 3000)"));
}

TEST_CASE("a share of errors that chance explains, or that is hardly higher, is not worse") {
  // Two errors may fall on the canary's quarter of the traffic by chance.
  CHECK(verdict(make_sample(100, 2), make_sample(300, 0)) == CanaryVerdict::better_or_equal);
  CHECK(verdict(make_sample(100, 4), make_sample(300, 6)) == CanaryVerdict::better_or_equal);
  // Certain, but less than a percentage point.
  CHECK(verdict(make_sample(100'000, 900), make_sample(300'000, 0)) ==
        CanaryVerdict::better_or_equal);
  // Certain, and two points, but less than half as much again.
  CHECK(verdict(make_sample(100'000, 12'000), make_sample(300'000, 30'000)) ==
        CanaryVerdict::better_or_equal);
  CHECK(verdict(make_sample(1000, 0), make_sample(3000, 3000)) == CanaryVerdict::better_or_equal);
  CHECK(verdict(make_sample(1000, 1000), make_sample(3000, 3000)) ==
        CanaryVerdict::better_or_equal);
}

TEST_CASE("a median far above that of the others is worse, and is shown") {
  const auto judged = judge_canary(make_sample(500, 0, milliseconds(12)),
                                   make_sample(1500, 0, milliseconds(2)), 100);
  CHECK(judged.verdict == CanaryVerdict::worse);
  CHECK_THAT(judged.text, Contains("p50 16 ms (old 2 ms)"));
  // Only one step, or all within ten milliseconds.
  CHECK(verdict(make_sample(500, 0, milliseconds(12)), make_sample(1500, 0, milliseconds(6))) ==
        CanaryVerdict::better_or_equal);
  CHECK(verdict(make_sample(500, 0, milliseconds(6)), make_sample(1500, 0, milliseconds(0))) ==
        CanaryVerdict::better_or_equal);
  CHECK(verdict(make_sample(500, 0, milliseconds(2)), make_sample(1500, 0, milliseconds(200))) ==
        CanaryVerdict::better_or_equal);
}

TEST_CASE("a slow tail that the others do not have is worse") {
  const auto others = make_sample(3000, 0, milliseconds(6));
  const auto judged =
      judge_canary(make_sample(1000, 0, milliseconds(6), 30, milliseconds(300)), others, 100);
  CHECK(judged.verdict == CanaryVerdict::worse);
  CHECK_THAT(judged.text, Contains("p99 524 ms (old 8 ms)") && !Contains("p50"));
  // Slower, but quick.
  CHECK(verdict(make_sample(1000, 0, milliseconds(6), 30, milliseconds(30)), others) ==
        CanaryVerdict::better_or_equal);
  // Less than one in a hundred.
  CHECK(verdict(make_sample(1000, 0, milliseconds(6), 9, milliseconds(300)), others) ==
        CanaryVerdict::better_or_equal);
}

TEST_CASE("a tail that moved by the chance of one or two slow answers is not worse") {
  const auto others = make_sample(300, 0, milliseconds(6), 2, milliseconds(300));
  CHECK(verdict(make_sample(100, 0, milliseconds(6), 2, milliseconds(300)), others) ==
        CanaryVerdict::better_or_equal);
}

TEST_CASE("answers beyond the last step are shown as such, and too few times are not judged by") {
  const auto others = make_sample(300, 0, milliseconds(6));
  const auto judged = judge_canary(make_sample(300, 0, milliseconds(500'000)), others, 100);
  CHECK(judged.verdict == CanaryVerdict::worse);
  CHECK_THAT(judged.text, Contains("p99 over 268 s"));
  CanarySample untimed = make_sample(300, 0, milliseconds(900));
  untimed.latency.fill(0);
  CHECK(judge_canary(untimed, others, 100).text == "5xx 0.0% of 300 (old 0.0% of 300)");
}

TEST_CASE(
    "a sample adds up what happened between two looks, and nothing where a counter went back") {
  const auto page = std::make_unique<telemetry::WorkerPage>();
  page->requests.add(10);
  page->server_errors.add(2);
  page->latency.add(milliseconds(6));
  const CanarySample before = supervisor::read_sample(*page);
  CHECK(before.requests == 10);
  CHECK(before.server_errors == 2);
  page->requests.add(5);
  page->server_errors.add(1);
  page->latency.add(milliseconds(6));
  page->latency.add(milliseconds(600));
  const CanarySample after = supervisor::read_sample(*page);
  CanarySample sum;
  sum.add(before, after);
  sum.add(before, after);
  CHECK(sum.requests == 10);
  CHECK(sum.server_errors == 2);
  CHECK(sum.latency[telemetry::LatencyHistogram::bucket_of(milliseconds(6))] == 2);
  CHECK(sum.latency[telemetry::LatencyHistogram::bucket_of(milliseconds(600))] == 2);
  sum.add(after, before);
  CHECK(sum.requests == 10);
}
