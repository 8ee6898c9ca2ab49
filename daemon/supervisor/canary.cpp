#include "supervisor/canary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace appserver::supervisor {
namespace {

using Latency = std::array<std::uint64_t, telemetry::LatencyHistogram::kBuckets>;

// One-sided, 1 %.
constexpr double kCritical = 2.33;
// A difference below these is nobody's reason to roll back, however certain it is.
constexpr double kLeastRise = 0.01;
constexpr double kLeastRatio = 1.5;
constexpr std::size_t kBucketsFarAbove = 2;
constexpr double kHalf = 0.5;
constexpr double kNearlyAll = 0.99;
constexpr std::uint64_t kSlowHalf = 10'000;       // us
constexpr std::uint64_t kSlowNearlyAll = 50'000;  // us

struct Share {
  std::uint64_t some = 0;
  std::uint64_t all = 0;
  double value() const { return static_cast<double>(some) / static_cast<double>(all); }
};

// z of a one-sided test of two proportions, pooled. The correction for continuity keeps it honest
// where only a handful of answers make the difference: without it 2 of 100 beside 0 of 300 would
// pass for certain.
double z_of(const Share& canary, const Share& others) {
  const double inverse = 1 / static_cast<double>(canary.all) + 1 / static_cast<double>(others.all);
  const double pooled =
      static_cast<double>(canary.some + others.some) / static_cast<double>(canary.all + others.all);
  const double deviation = std::sqrt(pooled * (1 - pooled) * inverse);
  if (deviation <= 0) return 0;  // none, or all, on both sides
  return (canary.value() - others.value() - inverse / 2) / deviation;
}

bool is_higher(const Share& canary, const Share& others) {
  return canary.value() - others.value() >= kLeastRise &&
         canary.value() >= kLeastRatio * others.value() && z_of(canary, others) > kCritical;
}

std::uint64_t sum_of(const Latency& latency) {
  return std::accumulate(latency.begin(), latency.end(), std::uint64_t{0});
}

// The bucket that the answer of this rank falls into. `latency` is not empty.
std::size_t percentile(const Latency& latency, double part) {
  const auto rank =
      static_cast<std::uint64_t>(std::ceil(part * static_cast<double>(sum_of(latency))));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < latency.size(); ++bucket) {
    seen += latency[bucket];
    if (seen >= rank && seen > 0) return bucket;
  }
  return latency.size() - 1;
}

// Microseconds below which all of a bucket's answers came; of the last: above which.
std::uint64_t limit_of(std::size_t bucket) {
  constexpr std::size_t kLast = telemetry::LatencyHistogram::kBuckets - 1;
  return std::uint64_t{64} << std::min(bucket, kLast - 1);
}

std::string describe(std::size_t bucket) {
  const std::uint64_t limit = limit_of(bucket);
  const auto number = static_cast<double>(limit);
  const bool is_last = bucket + 1 == telemetry::LatencyHistogram::kBuckets;
  if (limit < 1'000) return fmt::format("{} us", limit);
  if (limit < 1'000'000) return fmt::format("{:.0f} ms", number / 1e3);
  return fmt::format("{}{:.0f} s", is_last ? "over " : "", number / 1e6);
}

Share share_from(const Latency& latency, std::size_t bucket) {
  const auto from = latency.begin() + static_cast<std::ptrdiff_t>(bucket);
  return {std::accumulate(from, latency.end(), std::uint64_t{0}), sum_of(latency)};
}

struct Percentiles {
  std::size_t canary = 0;
  std::size_t others = 0;
  bool worse = false;
};

// Far above: by buckets, in absolute terms, and not because one or two answers happened to be slow.
Percentiles compare(const Latency& canary, const Latency& others, double part, std::uint64_t slow) {
  Percentiles found{percentile(canary, part), percentile(others, part), false};
  const std::size_t far = found.others + kBucketsFarAbove;
  found.worse = found.canary >= far && limit_of(found.canary) > slow &&
                z_of(share_from(canary, far), share_from(others, far)) > kCritical;
  return found;
}

std::string describe(const char* name, const Percentiles& found) {
  return fmt::format(", {} {} (old {})", name, describe(found.canary), describe(found.others));
}

// Errors are counted before the answer is.
Share errors_of(const CanarySample& sample) {
  return {std::min(sample.server_errors, sample.requests), sample.requests};
}

}  // namespace

void CanarySample::add(const CanarySample& before, const CanarySample& after) {
  const auto rise = [](std::uint64_t from, std::uint64_t to) { return to > from ? to - from : 0; };
  requests += rise(before.requests, after.requests);
  server_errors += rise(before.server_errors, after.server_errors);
  for (std::size_t i = 0; i < latency.size(); ++i) {
    latency[i] += rise(before.latency[i], after.latency[i]);
  }
}

CanarySample read_sample(const telemetry::WorkerPage& page) {
  CanarySample sample;
  sample.requests = page.requests.get();
  sample.server_errors = page.server_errors.get();
  for (std::size_t i = 0; i < sample.latency.size(); ++i) {
    sample.latency[i] = page.latency.buckets[i].get();
  }
  return sample;
}

CanaryJudgement judge_canary(const CanarySample& canary, const CanarySample& others,
                             std::uint32_t min_requests) {
  const std::uint64_t least = std::max<std::uint64_t>(min_requests, 1);
  if (canary.requests < least || others.requests < least) {
    return {CanaryVerdict::inconclusive,
            fmt::format("too few answers to judge by: {} (old {}), {} of each are needed",
                        canary.requests, others.requests, least)};
  }
  const Share errors = errors_of(canary);
  const Share old_errors = errors_of(others);
  bool worse = is_higher(errors, old_errors);
  auto text = fmt::format("5xx {:.1f}% of {} (old {:.1f}% of {})", errors.value() * 100, errors.all,
                          old_errors.value() * 100, old_errors.all);
  if (sum_of(canary.latency) >= least && sum_of(others.latency) >= least) {
    const auto half = compare(canary.latency, others.latency, kHalf, kSlowHalf);
    const auto most = compare(canary.latency, others.latency, kNearlyAll, kSlowNearlyAll);
    if (half.worse) text += describe("p50", half);
    text += describe("p99", most);
    worse = worse || half.worse || most.worse;
  }
  return {worse ? CanaryVerdict::worse : CanaryVerdict::better_or_equal, std::move(text)};
}

}  // namespace appserver::supervisor
