// The bus between the workers of one test.
#pragma once

#include <appserver/abi/bus.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::testing {

// What a worker has at a SharedBus.
class BusMember {
 public:
  BusMember() = default;
  BusMember(const BusMember&) = delete;
  BusMember& operator=(const BusMember&) = delete;
  virtual ~BusMember() = default;
  // Both only keep it for later.
  virtual void heard(std::string_view topic, std::string_view message) = 0;
  virtual void was_lost() = 0;
};

// Given to several harnesses (Options::bus), it joins them. Messages and results reach a plugin
// when its own harness runs: `harness.run()`. Keys expire by the clock of whichever harness is
// furthest, seen at the next operation. For one thread.
class SharedBus {
 public:
  struct Entry {
    std::string value;
    std::uint64_t version = 0;
    std::optional<std::uint64_t> expires;  // milliseconds of the clock
  };
  struct Result {
    std::int32_t status = APPSERVER_OK;
    std::uint64_t version = 0;
    std::int64_t number = 0;
    std::string value = {};
  };

  SharedBus() = default;
  SharedBus(const SharedBus&) = delete;
  SharedBus& operator=(const SharedBus&) = delete;

  // The bus crashes and is back: keys, and what was not run yet, are gone; on_reset is called.
  void lose() {
    entries_.clear();
    for (BusMember* const member : members_) member->was_lost();
  }
  // While set, what needs more memory is refused as over the bound of all keys.
  void set_full(bool full) { full_ = full; }
  // As the keys are now; expired ones are not there.
  std::optional<std::string> value(const std::string& key) const {
    const auto found = entries_.find(key);
    if (found == entries_.end() || is_over(found->second)) return std::nullopt;
    return found->second.value;
  }

  // For BusHost.
  void join(BusMember& member) { members_.insert(&member); }
  void leave(BusMember& member) { members_.erase(&member); }
  void publish(std::string_view topic, std::string_view message) {
    for (BusMember* const member : members_) member->heard(topic, message);
  }

  Result get(std::string_view key, std::uint64_t now) {
    const auto found = find(key, now);
    if (found == entries_.end()) return {APPSERVER_NOT_FOUND};
    return {APPSERVER_OK, found->second.version, 0, found->second.value};
  }
  Result set(std::string_view key, std::string_view value, std::uint64_t ttl,
             std::uint32_t condition, std::uint64_t expected, std::uint64_t now) {
    const auto found = find(key, now);
    const std::uint64_t version = found == entries_.end() ? 0 : found->second.version;
    const bool holds = condition == APPSERVER_BUS_ALWAYS ||
                       (condition == APPSERVER_BUS_IF_ABSENT && version == 0) ||
                       (condition == APPSERVER_BUS_IF_VERSION && version == expected);
    if (!holds) return {APPSERVER_BUS_CONFLICT, version};
    if (full_) return {APPSERVER_LIMIT, version};
    entries_.insert_or_assign(std::string(key), Entry{std::string(value), ++version_, end_of(ttl)});
    return {APPSERVER_OK, version_};
  }
  Result add(std::string_view key, std::int64_t delta, std::uint64_t ttl, std::uint64_t now) {
    const auto found = find(key, now);
    const bool is_new = found == entries_.end();
    const std::uint64_t version = is_new ? 0 : found->second.version;
    const auto sum = sum_of(is_new ? "0" : found->second.value, delta);
    if (!sum) return {APPSERVER_INVALID, version};
    if (full_) return {APPSERVER_LIMIT, version};
    const auto expires = is_new ? end_of(ttl) : found->second.expires;
    entries_.insert_or_assign(std::string(key), Entry{std::to_string(*sum), ++version_, expires});
    return {APPSERVER_OK, version_, *sum};
  }
  Result erase(std::string_view key, std::uint64_t now) {
    const auto found = find(key, now);
    if (found == entries_.end()) return {APPSERVER_NOT_FOUND};
    entries_.erase(found);
    return {};
  }

 private:
  using Entries = std::map<std::string, Entry, std::less<>>;

  bool is_over(const Entry& entry) const { return entry.expires && *entry.expires <= now_; }
  std::optional<std::uint64_t> end_of(std::uint64_t ttl) const {
    if (ttl == 0) return std::nullopt;
    return now_ + std::min(ttl, std::numeric_limits<std::uint64_t>::max() - now_);
  }
  Entries::iterator find(std::string_view key, std::uint64_t now) {
    now_ = std::max(now_, now);
    const auto found = entries_.find(key);
    if (found == entries_.end() || !is_over(found->second)) return found;
    entries_.erase(found);
    return entries_.end();
  }
  static std::optional<std::int64_t> sum_of(std::string_view text, std::int64_t delta) {
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    using Limits = std::numeric_limits<std::int64_t>;
    const bool fits = delta < 0 ? number >= Limits::min() - delta : number <= Limits::max() - delta;
    if (error != std::errc() || stop != end || !fits) return std::nullopt;
    return number + delta;
  }

  std::set<BusMember*> members_;
  Entries entries_;
  std::uint64_t version_ = 0;
  std::uint64_t now_ = 0;
  bool full_ = false;
};

}  // namespace appserver::testing
