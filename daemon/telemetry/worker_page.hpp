// Memory that a worker shares with the supervisor: its counters, heartbeat and what it is doing.
// The worker writes with relaxed atomics on its hot path, the supervisor only reads, and trusts
// nothing in it beyond being numbers.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
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
  self_check,
  create,
  on_worker_start,
  on_request,
  timer,
  posted_call,
  on_worker_reload,
  on_worker_stop,
  destroy,
  on_connect,
  on_message,
  on_close,
  on_buffer_full,
  on_buffer_drain,
  on_handover,
  on_adopt,
  measure,
  on_websocket_open,
  fd_ready,
  on_client_gone,
  save_state,
  on_worker_drain,
  on_datagram,
  bus_call,
  call_done,
  on_client_connect,
  on_client_websocket_open,
  on_client_message,
  on_client_close,
  gateway_done,
};

constexpr std::string_view to_string(Hook hook) {
  constexpr auto kNames = std::to_array<std::string_view>({"none",
                                                           "loading the plugin",
                                                           "self_check",
                                                           "create",
                                                           "on_worker_start",
                                                           "on_request",
                                                           "a timer",
                                                           "a posted call",
                                                           "on_worker_reload",
                                                           "on_worker_stop",
                                                           "destroy",
                                                           "on_connect",
                                                           "on_message",
                                                           "on_close",
                                                           "on_buffer_full",
                                                           "on_buffer_drain",
                                                           "on_handover",
                                                           "on_adopt",
                                                           "measure",
                                                           "on_websocket_open",
                                                           "a watched descriptor",
                                                           "on_client_gone",
                                                           "on_save_state",
                                                           "on_worker_drain",
                                                           "on_datagram",
                                                           "a call of the bus",
                                                           "the end of an outbound call",
                                                           "on_client_connect",
                                                           "on_client_websocket_open",
                                                           "on_client_message",
                                                           "on_client_close",
                                                           "an answer of the gateway"});
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

// Answer times in doubling steps: bucket 0 is below 64 us, bucket n below 64 us * 2^n, the last is
// all the rest.
struct LatencyHistogram {
  static constexpr std::size_t kBuckets = 24;
  std::array<Counter, kBuckets> buckets;

  static constexpr std::size_t bucket_of(std::chrono::nanoseconds time) {
    const auto units = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)) / 64'000;
    return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(units)), kBuckets - 1);
  }
  void add(std::chrono::nanoseconds time) { buckets[bucket_of(time)].add(); }
};

// What a dying worker leaves behind for its crash record; written in a signal handler.
struct CrashNote {
  static constexpr std::size_t kFrames = 48;
  static constexpr std::size_t kModules = 48;
  // A mapped file. The first is the program, the second the plugin once that is loaded.
  struct Module {
    std::uint64_t begin = 0;       // of the page that its first loaded segment lies in
    std::uint64_t end = 0;         // of its last one
    std::array<char, 240> path{};  // absolute, ends with 0; empty where it is longer
  };

  std::atomic<std::int32_t> signal{0};  // 0: no note, and nothing but `module` is set
  // That could not be accessed, for SIGSEGV and SIGBUS; of the instruction, for SIGFPE and SIGILL.
  std::uint64_t address = 0;
  // Innermost first: where it stopped, then the calls that led there.
  std::uint32_t frames = 0;
  std::array<std::uint64_t, kFrames> stack{};
  std::uint32_t modules = 0;
  std::array<Module, kModules> module{};
};

// What the process of the bus says of itself, a while ago at most.
struct BusCounters {
  Counter memory;  // bytes of keys, values and messages that wait
  Counter keys;
  Counter topics;
  Counter subscriptions;
  Counter sent;     // messages, once for each subscriber
  Counter dropped;  // for a subscriber that was too slow
};

// What a gateway worker says of itself, a while ago at most.
struct GatewayCounters {
  Counter clients;
  Counter workers;        // business workers that take events
  Counter parked_events;  // that wait for one
  Counter parked_bytes;
  Counter lost;  // messages that waited too long, or were not to be given twice
  Counter cut;   // clients that did not take what was sent to them
};

// What a business worker says of itself, alike.
struct LinkCounters {
  Counter linked;  // gateway workers
  Counter known;
};

struct WorkerPage {
  static constexpr std::size_t kMetrics = 64;

  Counter heartbeat_ns;  // CLOCK_MONOTONIC at the loop's last tick
  std::atomic<Hook> hook{Hook::none};
  Counter requests;     // answered, and messages that the plugin was given
  Counter in_flight;    // being answered now
  Counter connections;  // open now
  Counter accepted;
  Counter adopted;      // taken over from a predecessor
  Counter handed_over;  // given up to a successor
  Counter refused;      // requests answered by the host itself with an error
  Counter failed;       // requests that ended in a 500, and messages that failed, by the plugin
  // Of the answers to the plugin's requests those with a status from 500 to 599, the host's 500 for
  // a failed one included. Refusals are not: no client shall make a build look bad.
  Counter server_errors;
  Counter log_dropped;
  Counter datagrams_unsent;  // that the kernel had no room for
  Counter datagrams_lost;    // that came while a socket's queue was full, or from the own address
  LatencyHistogram latency;  // from a whole request to the end of its answer, queued for the client
  CrashNote crash;
  std::array<Metric, kMetrics> metrics;
  BusCounters bus;         // of the process of the bus alone
  Counter tls_handshakes;  // of clients, that were done
  Counter tls_failed;      // that were not, whatever the reason
  Counter datagrams_received;
  Counter datagrams_sent;
  Counter uncompressed;      // answers that too many others at a time kept from being compressed
  Counter unsent;            // of `handed_over`: not on their way to the successor yet
  Counter most_connections;  // that it can hold: of limits.max_connections what descriptors allow
  GatewayCounters gateway;
  LinkCounters links;

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
