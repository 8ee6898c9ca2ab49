// Whether a canary does as well as the workers beside it. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "telemetry/worker_page.hpp"

namespace appserver::supervisor {

// What some workers did during the hold: sums of differences of their counters.
struct CanarySample {
  std::uint64_t requests = 0;
  std::uint64_t server_errors = 0;
  std::array<std::uint64_t, telemetry::LatencyHistogram::kBuckets> latency{};

  // Adds what a worker did between two looks at its page. Counters that went back count as 0.
  void add(const CanarySample& before, const CanarySample& after);
};

CanarySample read_sample(const telemetry::WorkerPage& page);

enum class CanaryVerdict { better_or_equal, worse, inconclusive };

struct CanaryJudgement {
  CanaryVerdict verdict = CanaryVerdict::inconclusive;
  std::string text;  // "5xx 0.1% of 1204 (old 0.1% of 3577), p99 8 ms (old 8 ms)"
};

// Worse: its share of 5xx is higher by a margin that chance does not explain (one-sided test of two
// proportions), or its 50th or 99th percentile is far above theirs. Inconclusive: fewer than
// `min_requests` were answered by the canary, or by the others.
CanaryJudgement judge_canary(const CanarySample& canary, const CanarySample& others,
                             std::uint32_t min_requests);

}  // namespace appserver::supervisor
