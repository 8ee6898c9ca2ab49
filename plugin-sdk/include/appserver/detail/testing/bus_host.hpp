// "bus/1" of a host in memory.
#pragma once

#include <appserver/abi/bus.h>

#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/shared_bus.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

class BusHost final : public Extension, private BusMember {
 public:
  // As in a worker.
  static constexpr std::size_t kMostTopics = 1000;
  static constexpr std::size_t kMostSubscriptions = 10'000;
  static constexpr std::size_t kMostOperations = 10'000;
  // Of messages that wait for the next run; over it the oldest is lost, and counted.
  static constexpr std::size_t kMostWaiting = 10'000;

  static constexpr const char* kName = APPSERVER_BUS;
  static const void* table() noexcept {
    static constexpr appserver_bus_host kTable{sizeof(appserver_bus_host),
                                               0,
                                               &publish,
                                               &subscribe,
                                               &unsubscribe,
                                               &get,
                                               &set,
                                               &add,
                                               &erase,
                                               &on_reset};
    return &kTable;
  }

  explicit BusHost(Core& core)
      : Extension(core),
        bus_(core.options().bus ? core.options().bus : std::make_shared<SharedBus>()) {
    bus_->join(*this);
  }
  ~BusHost() override { bus_->leave(*this); }

  SharedBus& bus() const { return *bus_; }

  // One thing that is due: a message, a result or a reset, in the order of their coming.
  bool turn() override {
    if (due_.empty()) return false;
    const std::function<void()> next = std::move(due_.front().call);
    const bool is_message = due_.front().is_message;
    due_.pop_front();
    if (is_message) --messages_;
    next();
    return true;
  }
  void detach() override {
    ended_ = true;
    due_.clear();
    subscriptions_.clear();
  }

 private:
  using Deliver = void (*)(void*, appserver_str, std::uint64_t) APPSERVER_NOEXCEPT;
  using Reset = void (*)(void*) APPSERVER_NOEXCEPT;
  struct Subscription {
    std::string topic;
    Deliver call;
    void* argument;
  };
  struct Due {
    std::string topic;  // of a message
    bool is_message;
    std::function<void()> call;
    std::function<void()> lost = {};  // what an operation is told instead
  };

  void heard(std::string_view topic, std::string_view message) override {
    if (ended_ || !is_subscribed(topic)) return;
    if (messages_ >= kMostWaiting) drop_oldest();
    ++messages_;
    due_.push_back({std::string(topic), true,
                    [this, topic = std::string(topic), message = std::string(message)] {
                      deliver(topic, message);
                    }});
  }
  // Operations end; what was published is gone.
  void was_lost() override {
    if (ended_) return;
    std::deque<Due> left;
    for (Due& each : std::exchange(due_, {})) {
      if (each.lost) left.push_back({{}, false, std::move(each.lost)});
    }
    due_ = std::move(left);
    messages_ = 0;
    lost_.clear();
    due_.push_back({{}, false, [this] {
                      if (reset_ != nullptr) reset_(reset_argument_);
                    }});
  }

  bool is_subscribed(std::string_view topic) const {
    for (const auto& [id, each] : subscriptions_) {
      if (each.topic == topic) return true;
    }
    return false;
  }
  void drop_oldest() {
    for (auto each = due_.begin(); each != due_.end(); ++each) {
      if (!each->is_message) continue;
      ++lost_[each->topic];
      --messages_;
      due_.erase(each);
      return;
    }
  }
  void deliver(const std::string& topic, const std::string& message) {
    const auto lost = lost_.extract(topic);
    std::vector<appserver_subscription> ids;
    for (const auto& [id, each] : subscriptions_) {
      if (each.topic == topic) ids.push_back(id);
    }
    // A call may end any of them.
    for (const appserver_subscription id : ids) {
      const auto found = subscriptions_.find(id);
      if (found == subscriptions_.end()) continue;
      found->second.call(found->second.argument, detail::str(message),
                         lost.empty() ? 0 : lost.mapped());
    }
  }

  std::int32_t check(appserver_str name, appserver_str value = {nullptr, 0}) const {
    if (ended_) return APPSERVER_GONE;
    const bool fits = name.size > 0 && name.size <= APPSERVER_BUS_NAME_MAX &&
                      value.size <= APPSERVER_BUS_VALUE_MAX;
    return core().on_loop() && fits ? APPSERVER_OK : APPSERVER_INVALID;
  }
  // It is done at once, and told of later.
  template <class Operate>
  std::int32_t operate(appserver_str key, appserver_str value, appserver_bus_done done,
                       void* argument, Operate&& run) {
    const std::int32_t problem = done == nullptr ? APPSERVER_INVALID : check(key, value);
    if (problem != APPSERVER_OK) return problem;
    if (due_.size() - messages_ >= kMostOperations) return APPSERVER_LIMIT;
    const SharedBus::Result result = run(*bus_, core().now());
    due_.push_back({{},
                    false,
                    [=] { tell(done, argument, result); },
                    [=] { tell(done, argument, {APPSERVER_BUS_UNREACHABLE}); }});
    return APPSERVER_OK;
  }
  static void tell(appserver_bus_done done, void* argument, const SharedBus::Result& result) {
    const appserver_bus_result raw{sizeof(raw), result.status, result.version, result.number,
                                   detail::str(result.value)};
    done(argument, &raw);
  }

  static BusHost& of(appserver_worker* worker) { return Core::of(worker).extension<BusHost>(); }

  static std::int32_t publish(appserver_worker* worker, appserver_str topic,
                              appserver_str message) noexcept {
    const std::int32_t problem = of(worker).check(topic, message);
    if (problem == APPSERVER_OK)
      of(worker).bus_->publish(detail::view(topic), detail::view(message));
    return problem;
  }
  static std::int32_t subscribe(appserver_worker* worker, appserver_str topic, Deliver call,
                                void* argument, appserver_subscription* subscription) noexcept {
    BusHost& host = of(worker);
    const std::int32_t problem = call == nullptr ? APPSERVER_INVALID : host.check(topic);
    if (problem != APPSERVER_OK) return problem;
    std::set<std::string_view> topics{detail::view(topic)};
    for (const auto& [id, each] : host.subscriptions_) topics.insert(each.topic);
    if (topics.size() > kMostTopics || host.subscriptions_.size() >= kMostSubscriptions)
      return APPSERVER_LIMIT;
    *subscription = ++host.last_;
    host.subscriptions_[*subscription] = {std::string(detail::view(topic)), call, argument};
    return APPSERVER_OK;
  }
  static std::int32_t unsubscribe(appserver_worker* worker,
                                  appserver_subscription subscription) noexcept {
    return of(worker).subscriptions_.erase(subscription) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }
  static std::int32_t get(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                          void* argument) noexcept {
    return of(worker).operate(
        key, {nullptr, 0}, done, argument,
        [&](SharedBus& bus, std::uint64_t now) { return bus.get(detail::view(key), now); });
  }
  static std::int32_t set(appserver_worker* worker, appserver_str key, appserver_str value,
                          std::uint64_t ttl, std::uint32_t condition, std::uint64_t version,
                          appserver_bus_done done, void* argument) noexcept {
    if (condition > APPSERVER_BUS_IF_VERSION) return APPSERVER_INVALID;
    return of(worker).operate(key, value, done, argument, [&](SharedBus& bus, std::uint64_t now) {
      return bus.set(detail::view(key), detail::view(value), ttl, condition, version, now);
    });
  }
  static std::int32_t add(appserver_worker* worker, appserver_str key, std::int64_t delta,
                          std::uint64_t ttl, appserver_bus_done done, void* argument) noexcept {
    return of(worker).operate(key, {nullptr, 0}, done, argument,
                              [&](SharedBus& bus, std::uint64_t now) {
                                return bus.add(detail::view(key), delta, ttl, now);
                              });
  }
  static std::int32_t erase(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                            void* argument) noexcept {
    return of(worker).operate(
        key, {nullptr, 0}, done, argument,
        [&](SharedBus& bus, std::uint64_t now) { return bus.erase(detail::view(key), now); });
  }
  static std::int32_t on_reset(appserver_worker* worker, Reset call, void* argument) noexcept {
    if (of(worker).ended_) return APPSERVER_GONE;
    of(worker).reset_ = call;
    of(worker).reset_argument_ = argument;
    return APPSERVER_OK;
  }

  std::shared_ptr<SharedBus> bus_;
  std::map<appserver_subscription, Subscription> subscriptions_;
  appserver_subscription last_ = 0;
  std::deque<Due> due_;
  std::size_t messages_ = 0;  // among them
  std::map<std::string, std::uint64_t> lost_;
  Reset reset_ = nullptr;
  void* reset_argument_ = nullptr;
  bool ended_ = false;
};

}  // namespace appserver::testing
