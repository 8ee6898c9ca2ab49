#include "telemetry/worker_page.hpp"

#include <catch2/catch.hpp>

using appserver::telemetry::Counter;
using appserver::telemetry::LatencyHistogram;
using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST_CASE("each bucket of the answer times ends where it says, and the next one begins there") {
  using Histogram = LatencyHistogram;
  for (std::size_t bucket = 0; bucket + 1 < Histogram::kBuckets; ++bucket) {
    const nanoseconds end = microseconds(64) * (std::int64_t{1} << bucket);
    CHECK(Histogram::bucket_of(end - nanoseconds(1)) == bucket);
    CHECK(Histogram::bucket_of(end) == bucket + 1);
  }
  CHECK(Histogram::bucket_of(nanoseconds(0)) == 0);
  CHECK(Histogram::bucket_of(nanoseconds::max()) == Histogram::kBuckets - 1);
}

TEST_CASE("a time that a clock measured backwards counts as none") {
  CHECK(LatencyHistogram::bucket_of(nanoseconds(-1)) == 0);
  CHECK(LatencyHistogram::bucket_of(nanoseconds::min()) == 0);
}

TEST_CASE("each answer counts in one bucket") {
  LatencyHistogram histogram;
  histogram.add(microseconds(10));
  histogram.add(microseconds(70));
  histogram.add(microseconds(127));
  CHECK(histogram.buckets[0].get() == 1);
  CHECK(histogram.buckets[1].get() == 2);
  CHECK(histogram.buckets[2].get() == 0);
}

TEST_CASE("a counter goes down as it went up") {
  Counter counter;
  counter.add(3);
  counter.subtract();
  CHECK(counter.get() == 2);
  counter.subtract(2);
  CHECK(counter.get() == 0);
}
