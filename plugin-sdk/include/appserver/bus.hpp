// Messages between all workers of the daemon, and keys and values that they share.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/bus.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/handle.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/outcome.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace appserver {

// Why something of the bus has failed.
class BusError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// No answer within 2 s: it may have been done or not.
class BusUnreachable final : public BusError {
 public:
  using BusError::BusError;
};
// More is under way, or kept, than the host's bounds allow. In a request: answer 503.
class BusFull final : public BusError {
 public:
  using BusError::BusError;
};

struct BusValue {
  std::string value;
  std::uint64_t version = 0;  // each change of the key gives another
};

// What a subscription gets; valid until its function returns.
struct BusMessage {
  std::string_view text;
  std::uint64_t lost = 0;  // messages of the topic that this worker fetched too late, before this
};

namespace detail {

class BusSet;

class SubscriptionState {
 public:
  SubscriptionState() = default;
  SubscriptionState(const SubscriptionState&) = delete;
  SubscriptionState& operator=(const SubscriptionState&) = delete;
  virtual ~SubscriptionState() = default;
  virtual void call(const BusMessage& message) = 0;

  BusSet* set = nullptr;  // null once it has ended
  appserver_subscription id = 0;
};

template <class Function>
class SubscriptionOf final : public SubscriptionState {
 public:
  template <class F>
  explicit SubscriptionOf(std::in_place_t, F&& function) : function_(std::forward<F>(function)) {}
  void call(const BusMessage& message) override { static_cast<void>(function_(message)); }

 private:
  Function function_;
};

// One get, set, add or erase under way.
class BusOperation {
 public:
  BusOperation() = default;
  BusOperation(const BusOperation&) = delete;
  BusOperation& operator=(const BusOperation&) = delete;
  virtual ~BusOperation() = default;
  virtual void end(const appserver_bus_result& result) = 0;

  BusSet* set = nullptr;
};

[[noreturn]] inline void throw_bus_error(std::int32_t status) {
  switch (status) {
    case APPSERVER_BUS_UNREACHABLE:
      throw BusUnreachable("the bus gives no answer; it may have been done or not");
    case APPSERVER_LIMIT:
      throw BusFull("a bound of the bus is reached");
    case APPSERVER_INVALID:
      throw BusError(
          "the bus refuses it: a topic or key has 1 to 255 bytes, a value at most 64 KiB, and only "
          "whole numbers of 64 bits can be added to");
    case APPSERVER_GONE:
      throw BusError("the bus cannot be used any more: the worker ends");
    default:
      throw BusError("the bus has failed");
  }
}

// `read` makes the value of a result, or throws.
template <class Done, class Read>
class BusOperationOf final : public BusOperation {
 public:
  template <class D>
  BusOperationOf(std::in_place_t, D&& done, Read read)
      : done_(std::forward<D>(done)), read_(read) {}
  void end(const appserver_bus_result& result) override {
    done_(outcome_of([&] { return read_(result); }));
  }

 private:
  Done done_;
  Read read_;
};

// What a worker has at the bus: owns the functions. Loop thread only.
class BusSet {
 public:
  BusSet(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  BusSet(const BusSet&) = delete;
  BusSet& operator=(const BusSet&) = delete;
  ~BusSet() { clear(); }

  appserver_worker* worker() const noexcept { return worker_; }

  const appserver_bus_host& table() {
    if (bus_ == nullptr) {
      const auto* const bus =
          static_cast<const appserver_bus_host*>(host_->extension(APPSERVER_BUS));
      if (bus == nullptr || !APPSERVER_HAS(appserver_bus_host, bus, on_reset))
        throw BusError("the host lacks " APPSERVER_BUS);
      bus_ = bus;
    }
    return *bus_;
  }

  std::shared_ptr<SubscriptionState> subscribe(std::string_view topic,
                                               std::shared_ptr<SubscriptionState> state) {
    const appserver_bus_host& bus = table();
    subscriptions_.emplace(state.get(), state);
    const std::int32_t result =
        bus.subscribe(worker_, str(topic), &deliver, state.get(), &state->id);
    if (result != APPSERVER_OK) {
      subscriptions_.erase(state.get());
      throw_bus_error(result);
    }
    state->set = this;
    return state;
  }

  // May destroy the function, unless it is the one running.
  void cancel(SubscriptionState& state) noexcept {
    bus_->unsubscribe(worker_, state.id);
    state.set = nullptr;
    const auto ended = subscriptions_.extract(&state);
  }

  // begin(done, argument) gives the host's result.
  template <class Begin>
  void operate(std::unique_ptr<BusOperation> operation, Begin&& begin) {
    BusOperation* const raw = operation.get();
    raw->set = this;
    operations_.emplace(raw, std::move(operation));
    const std::int32_t result = begin(&end, static_cast<void*>(raw));
    if (result == APPSERVER_OK) return;
    const auto dropped = operations_.extract(raw);
    throw_bus_error(result);
  }

  void on_reset(std::function<void()> function) {
    const std::int32_t result = table().on_reset(worker_, &reset, this);
    if (result != APPSERVER_OK) throw_bus_error(result);
    reset_ = std::make_shared<std::function<void()>>(std::move(function));
  }

  // What is destroyed by this may end a subscription.
  void clear() noexcept {
    while (!subscriptions_.empty()) cancel(*subscriptions_.begin()->second);
    while (!operations_.empty()) const auto dropped = operations_.extract(operations_.begin());
    reset_.reset();
  }

 private:
  template <class Function>
  void guarded(std::string_view where, Function&& function) noexcept {
    try {
      function();
    } catch (...) {
      log_exception(host_, worker_, where);
    }
  }

  static void deliver(void* argument, appserver_str message, std::uint64_t lost) noexcept {
    auto* const state = static_cast<SubscriptionState*>(argument);
    BusSet& set = *state->set;
    // The function may end its own subscription.
    const std::shared_ptr<SubscriptionState> keep = set.subscriptions_.at(state);
    set.guarded("subscription", [&] { keep->call(BusMessage{view(message), lost}); });
  }

  static void end(void* argument, const appserver_bus_result* result) noexcept {
    auto* const raw = static_cast<BusOperation*>(argument);
    BusSet& set = *raw->set;
    const auto ended = set.operations_.extract(raw);
    set.guarded("end of an operation of the bus", [&] { ended.mapped()->end(*result); });
  }

  static void reset(void* self) noexcept {
    BusSet& set = *static_cast<BusSet*>(self);
    const auto keep = set.reset_;
    if (keep && *keep) set.guarded("reset of the bus", [&] { (*keep)(); });
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_bus_host* bus_ = nullptr;
  std::unordered_map<SubscriptionState*, std::shared_ptr<SubscriptionState>> subscriptions_;
  std::unordered_map<BusOperation*, std::unique_ptr<BusOperation>> operations_;
  std::shared_ptr<std::function<void()>> reset_;
};

}  // namespace detail

// A subscription, from Bus::subscribe. It ends when this handle goes: keep it. Loop thread only,
// the destructor too. May outlive the plugin, then it is inert.
class [[nodiscard]] Subscription : detail::Handle<detail::SubscriptionState> {
 public:
  using Handle::active;
  using Handle::Handle;
  // After this the function is not called again. May be called by the function itself.
  using Handle::cancel;
};

// From Worker::bus. Topics and keys have 1 to 255 bytes, messages and values at most 64 KiB. [loop]
// only. Everything throws BusFull over the host's bounds of what may be under way (10,000
// operations, 4 MiB that are not sent yet, 1000 topics), and BusError for wrong sizes, without a
// "bus/1" and once the worker ends. A time to live of 0, kForEver, is none.
//
// Keys outlive reloads and crashes of workers, but neither the daemon nor a crash of its bus.
// `done` is called on the loop, once, never before the function returns; not any more once the
// worker ends, and an exception that leaves it is logged. It gets BusUnreachable in place of the
// value where no answer comes within 2 s, BusFull where the bound of all keys is reached.
class Bus {
 public:
  using milliseconds = std::chrono::milliseconds;
  static constexpr milliseconds kForEver{0};

  Bus(const appserver_host* host, appserver_worker* worker) noexcept : set_(host, worker) {}

  // To all who have subscribed to the topic, in every group, this worker too; in the order of this
  // worker's publishing. What is published while the bus is lost may be lost; what no bus has taken
  // for 2 s is, and the daemon's log says how many messages that were.
  void publish(std::string_view topic, std::string_view message) {
    const std::int32_t result =
        set_.table().publish(set_.worker(), detail::str(topic), detail::str(message));
    if (result != APPSERVER_OK) detail::throw_bus_error(result);
  }

  // Calls function(const BusMessage&) for each message, as long as the handle is kept. Goes on by
  // itself after the bus was lost. An exception that leaves the function is logged.
  template <class Function>
  Subscription subscribe(std::string_view topic, Function&& function) {
    return Subscription(
        set_.subscribe(topic, std::make_shared<detail::SubscriptionOf<std::decay_t<Function>>>(
                                  std::in_place, std::forward<Function>(function))));
  }

  // The same, and tells from when on it holds: ready(Outcome<void>) is called like `done`, with
  // BusUnreachable where the bus did not answer within 2 s (the subscription goes on, and is in
  // force once the bus is reached). What any worker publishes after ready was called reaches the
  // function, until on_reset says that there may be a gap. In a Task:
  //
  //   Subscription news;
  //   co_await awaitable<void>([&](auto ready) { news = bus.subscribe("news", hear, ready); });
  //
  // Throws BusFull as an operation does; then there is no subscription.
  template <class Function, class Ready>
  Subscription subscribe(std::string_view topic, Function&& function, Ready&& ready) {
    Subscription subscription = subscribe(topic, std::forward<Function>(function));
    confirm(topic, std::forward<Ready>(ready));
    return subscription;
  }

  // done(Outcome<std::optional<BusValue>>): nullopt where the key is absent.
  template <class Done>
  void get(std::string_view key, Done&& done) {
    const appserver_bus_host& bus = set_.table();
    begin(
        std::forward<Done>(done),
        [](const appserver_bus_result& result) -> std::optional<BusValue> {
          if (result.status == APPSERVER_NOT_FOUND) return std::nullopt;
          check(result);
          return BusValue{std::string(detail::view(result.value)), result.version};
        },
        [&](appserver_bus_done call, void* argument) {
          return bus.get(set_.worker(), detail::str(key), call, argument);
        });
  }

  // done(Outcome<std::uint64_t>): the key's version.
  template <class Done>
  void set(std::string_view key, std::string_view value, milliseconds time_to_live, Done&& done) {
    put(key, value, time_to_live, APPSERVER_BUS_ALWAYS, 0, std::forward<Done>(done),
        [](const appserver_bus_result& result) -> std::uint64_t {
          check(result);
          return result.version;
        });
  }

  // done(Outcome<std::optional<std::uint64_t>>): the version, or nullopt where the key is there.
  template <class Done>
  void set_if_absent(std::string_view key, std::string_view value, milliseconds time_to_live,
                     Done&& done) {
    put(key, value, time_to_live, APPSERVER_BUS_IF_ABSENT, 0, std::forward<Done>(done), &if_held);
  }

  // Sets the key if it still has this version (0: is absent). done(Outcome<std::optional<
  // std::uint64_t>>): the new version, or nullopt where it was changed since.
  template <class Done>
  void compare_and_set(std::string_view key, std::uint64_t version, std::string_view value,
                       milliseconds time_to_live, Done&& done) {
    put(key, value, time_to_live, APPSERVER_BUS_IF_VERSION, version, std::forward<Done>(done),
        &if_held);
  }

  // done(Outcome<std::int64_t>): the sum. A key that is absent counts as 0 and gets this time to
  // live; one that is there keeps its own. BusError where its value is not a whole number.
  template <class Done>
  void add(std::string_view key, std::int64_t delta, milliseconds time_to_live, Done&& done) {
    const appserver_bus_host& bus = set_.table();
    begin(
        std::forward<Done>(done),
        [](const appserver_bus_result& result) -> std::int64_t {
          check(result);
          return result.number;
        },
        [&](appserver_bus_done call, void* argument) {
          return bus.add(set_.worker(), detail::str(key), delta, count(time_to_live), call,
                         argument);
        });
  }

  // done(Outcome<bool>): whether the key was there.
  template <class Done>
  void erase(std::string_view key, Done&& done) {
    const appserver_bus_host& bus = set_.table();
    begin(
        std::forward<Done>(done),
        [](const appserver_bus_result& result) -> bool {
          if (result.status == APPSERVER_NOT_FOUND) return false;
          check(result);
          return true;
        },
        [&](appserver_bus_done call, void* argument) {
          return bus.erase(set_.worker(), detail::str(key), call, argument);
        });
  }

  // Calls function() each time that the bus is reached again after it was lost: messages may have
  // been missed, of which BusMessage::lost knows nothing, and the keys may be gone. The worker's
  // subscriptions are in force again before anything that the function itself does at the bus is
  // done there. One function a worker; it stays until another is given.
  void on_reset(std::function<void()> function) { set_.on_reset(std::move(function)); }

  // For the SDK.
  void close() noexcept { set_.clear(); }

 private:
  static void check(const appserver_bus_result& result) {
    if (result.status != APPSERVER_OK) detail::throw_bus_error(result.status);
  }
  static std::optional<std::uint64_t> if_held(const appserver_bus_result& result) {
    if (result.status == APPSERVER_BUS_CONFLICT) return std::nullopt;
    check(result);
    return result.version;
  }
  static std::uint64_t count(milliseconds duration) noexcept {
    return duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) : 0;
  }

  // The bus does what a worker asks in its order: an answer to anything says that the subscription
  // before it is in force. The key is not looked for, its value does not travel: no key is ever of
  // this version.
  template <class Ready>
  void confirm(std::string_view topic, Ready&& ready) {
    put(topic, {}, kForEver, APPSERVER_BUS_IF_VERSION, UINT64_MAX, std::forward<Ready>(ready),
        [](const appserver_bus_result& result) {
          if (result.status != APPSERVER_BUS_CONFLICT) check(result);
        });
  }

  template <class Done, class Read>
  void put(std::string_view key, std::string_view value, milliseconds time_to_live,
           std::uint32_t condition, std::uint64_t version, Done&& done, Read read) {
    const appserver_bus_host& bus = set_.table();
    begin(std::forward<Done>(done), read, [&](appserver_bus_done call, void* argument) {
      return bus.set(set_.worker(), detail::str(key), detail::str(value), count(time_to_live),
                     condition, version, call, argument);
    });
  }

  template <class Done, class Read, class Begin>
  void begin(Done&& done, Read read, Begin&& begin) {
    using Operation = detail::BusOperationOf<std::decay_t<Done>, Read>;
    set_.operate(std::make_unique<Operation>(std::in_place, std::forward<Done>(done), read),
                 std::forward<Begin>(begin));
  }

  detail::BusSet set_;
};

}  // namespace appserver
