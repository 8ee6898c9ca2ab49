// Memory that a worker shares with the supervisor: its counters, heartbeat and what it is doing.
// The worker writes with relaxed atomics on its hot path, the supervisor only reads, and trusts
// nothing in it beyond being numbers.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace appserver::telemetry {

// Where in the plugin the worker is; kept when it dies there.
enum class Hook : std::uint32_t {
  none,
  load,
  create,
  on_worker_start,
  on_request,
  timer,
  posted_call,
  on_worker_reload,
  on_worker_stop,
  destroy,
};

constexpr std::string_view to_string(Hook hook) {
  constexpr std::array<std::string_view, 10> kNames{
      "none",    "loading the plugin", "create",           "on_worker_start", "on_request",
      "a timer", "a posted call",      "on_worker_reload", "on_worker_stop",  "destroy"};
  const auto index = static_cast<std::size_t>(hook);
  return index < kNames.size() ? kNames[index] : "an unknown hook";
}

class Counter {
 public:
  void add(std::uint64_t value = 1) {
    // One writer: load and store are cheaper than an atomic addition.
    value_.store(value_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t value = 1) { add(~value + 1); }
  // For a counter that several threads add to; never together with add().
  void add_from_any_thread() { value_.fetch_add(1, std::memory_order_relaxed); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

enum class MetricKind : std::uint32_t { unused, counter, gauge };

// A plugin's own metric. `kind` is stored last, so a reader that sees it used sees the name whole.
struct Metric {
  static constexpr std::size_t kNameSize = 48;
  std::atomic<MetricKind> kind{MetricKind::unused};
  std::array<char, kNameSize> name{};
  std::atomic<double> value{0};

  std::string_view name_view() const { return {name.data(), ::strnlen(name.data(), kNameSize)}; }
};

struct WorkerPage {
  static constexpr std::size_t kMetrics = 64;

  Counter heartbeat_ns;  // CLOCK_MONOTONIC at the loop's last tick
  std::atomic<Hook> hook{Hook::none};
  Counter requests;     // answered
  Counter in_flight;    // being answered now
  Counter connections;  // open now
  Counter accepted;
  Counter adopted;      // taken over from a predecessor
  Counter handed_over;  // given to a successor
  Counter refused;      // requests answered by the host itself with an error
  Counter failed;       // requests that ended in a 500 because of the plugin
  Counter log_dropped;
  std::array<Metric, kMetrics> metrics;

  static WorkerPage& create_in(std::span<std::byte> memory) {
    return *new (memory.data()) WorkerPage;
  }
  static WorkerPage& view(std::span<std::byte> memory) {
    return *std::launder(reinterpret_cast<WorkerPage*>(memory.data()));
  }
};

static_assert(std::atomic<double>::is_always_lock_free &&
              std::atomic<std::uint64_t>::is_always_lock_free);

// Marks the page while plugin code runs.
class InHook {
 public:
  InHook(WorkerPage& page, Hook hook)
      : page_(page), before_(page.hook.load(std::memory_order_relaxed)) {
    page_.hook.store(hook, std::memory_order_relaxed);
  }
  InHook(const InHook&) = delete;
  InHook& operator=(const InHook&) = delete;
  ~InHook() { page_.hook.store(before_, std::memory_order_relaxed); }

 private:
  WorkerPage& page_;
  Hook before_;
};

}  // namespace appserver::telemetry
