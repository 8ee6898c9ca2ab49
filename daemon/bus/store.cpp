#include "bus/store.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace appserver::bus {
namespace {

// Far beyond any process's life, and far from overflowing the clock.
constexpr milliseconds kLongest{std::int64_t{1000} * 60 * 60 * 24 * 365 * 10};

std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

Store::Result Store::get(std::string_view key, Time now) {
  expire(now);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {Status::not_found};
  return {Status::ok, found->second.version, 0, found->second.value};
}

Store::Result Store::set(std::string_view key, std::string_view value, milliseconds time_to_live,
                         Condition condition, std::uint64_t expected, std::string_view owner,
                         Time now) {
  expire(now);
  const auto found = entries_.find(key);
  const std::uint64_t version = found == entries_.end() ? 0 : found->second.version;
  if (condition == Condition::absent && version != 0) return {Status::conflict, version};
  if (condition == Condition::version && version != expected) return {Status::conflict, version};
  const Result result = put(found, key, value, owner);
  if (result.status == Status::ok) {
    const auto entry = entries_.find(key);
    live_until(*entry, time_to_live, now);
  }
  return result;
}

Store::Result Store::add(std::string_view key, std::int64_t delta, milliseconds time_to_live,
                         std::string_view owner, Time now) {
  expire(now);
  const auto found = entries_.find(key);
  const bool is_new = found == entries_.end();
  const auto before = is_new ? std::int64_t{0} : to_number(found->second.value);
  std::int64_t sum = 0;
  if (!before || __builtin_add_overflow(*before, delta, &sum))
    return {Status::not_a_number, is_new ? 0 : found->second.version};
  Result result = put(found, key, std::to_string(sum), owner);
  if (result.status != Status::ok) return result;
  if (is_new) {
    const auto entry = entries_.find(key);
    live_until(*entry, time_to_live, now);
  }
  result.sum = sum;
  return result;
}

Store::Result Store::erase(std::string_view key, Time now) {
  expire(now);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {Status::not_found};
  remove(found);
  return {};
}

void Store::expire(Time now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now)
    remove(entries_.find(*expiries_.begin()->second));
}

void Store::remove(Entries::iterator entry) {
  const std::size_t freed = cost(entry->first, entry->second.value);
  bytes_ -= freed;
  give_back(entry->second.owner, freed);
  if (entry->second.expiry != expiries_.end()) expiries_.erase(entry->second.expiry);
  entries_.erase(entry);
}

bool Store::has_room(Entries::iterator found, std::size_t cost_now, std::string_view owner) const {
  const auto its = owners_.find(owner);
  const std::size_t before = found == entries_.end() ? 0 : cost(found->first, found->second.value);
  const std::size_t held = its == owners_.end() ? 0 : its->second;
  const bool stays = found != entries_.end() && found->second.owner == its;
  return bytes_ - before + cost_now <= max_bytes_ &&
         held - (stays ? before : 0) + cost_now <= max_bytes_ - max_bytes_ / 8;
}

Store::Result Store::put(Entries::iterator found, std::string_view key, std::string_view value,
                         std::string_view owner) {
  const std::size_t now = cost(key, value);
  if (!has_room(found, now, owner))
    return {Status::full, found == entries_.end() ? 0 : found->second.version};
  auto its = owners_.find(owner);
  if (its == owners_.end()) its = owners_.emplace(std::string(owner), 0).first;
  its->second += now;
  if (found == entries_.end()) {
    found = entries_.emplace(std::string(key), Entry{{}, 0, expiries_.end(), its}).first;
  } else {
    const std::size_t before = cost(found->first, found->second.value);
    bytes_ -= before;
    give_back(std::exchange(found->second.owner, its), before);
  }
  // A string that is assigned to keeps the memory of a longer value that was there before.
  std::string(value).swap(found->second.value);
  found->second.version = ++version_;
  bytes_ += now;
  return {Status::ok, found->second.version};
}

void Store::give_back(Owners::iterator owner, std::size_t bytes) {
  owner->second -= bytes;
  if (owner->second == 0) owners_.erase(owner);
}

std::string_view Store::largest_owner() const {
  const auto largest = std::ranges::max_element(owners_, {}, &Owners::value_type::second);
  return largest == owners_.end() ? std::string_view() : std::string_view(largest->first);
}

void Store::live_until(Entries::value_type& entry, milliseconds time_to_live, Time now) {
  auto& [key, kept] = entry;
  if (kept.expiry != expiries_.end()) expiries_.erase(std::exchange(kept.expiry, expiries_.end()));
  if (time_to_live.count() > 0)
    kept.expiry = expiries_.emplace(now + std::min(time_to_live, kLongest), &key);
}

}  // namespace appserver::bus
