// The keys and values that all workers of the machine share. Pure: time is handed in.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "bus/protocol.hpp"

namespace appserver::bus {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

class Store {
 public:
  // What an entry costs beside its key and value: the nodes of both containers, and what the
  // allocator adds.
  static constexpr std::size_t kOverhead = 256;

  // `max_bytes` of keys, values and overhead, of which one owner can take all but the last eighth:
  // whatever it does, there is room for others. An entry is of who changed it last. Versions are
  // counted from `first_version` and belong to one change each, whatever the key.
  Store(std::size_t max_bytes, std::uint64_t first_version)
      : max_bytes_(max_bytes), version_(first_version) {}

  struct Result {
    Status status = Status::ok;
    std::uint64_t version = 0;  // the key's as it is now, 0 for none
    std::int64_t sum = 0;
    std::string_view value{};  // until the next call
  };

  Result get(std::string_view key, Time now);
  // time_to_live 0: for ever. `condition` as the protocol has it; conflict with the key's version
  // where it does not hold.
  Result set(std::string_view key, std::string_view value, milliseconds time_to_live,
             Condition condition, std::uint64_t expected, std::string_view owner, Time now);
  // A key that is not there counts as 0 and gets this time to live; one that is there keeps its.
  // not_a_number where the value, or the sum, is no 64-bit integer in decimal.
  Result add(std::string_view key, std::int64_t delta, milliseconds time_to_live,
             std::string_view owner, Time now);
  Result erase(std::string_view key, Time now);

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return entries_.size(); }
  // Whose entries take most; "" without any.
  std::string_view largest_owner() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Entry;
  using Owners = std::map<std::string, std::size_t, std::less<>>;  // bytes of each that has any
  using Expiries = std::multimap<Time, const std::string*>;        // the entry's key
  struct Entry {
    std::string value;
    std::uint64_t version = 0;
    Expiries::iterator expiry;
    Owners::iterator owner;
  };
  using Entries = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  static std::size_t cost(std::string_view key, std::string_view value) {
    return key.size() + value.size() + kOverhead;
  }
  void expire(Time now);
  void remove(Entries::iterator entry);
  Result put(Entries::iterator found, std::string_view key, std::string_view value,
             std::string_view owner);
  bool has_room(Entries::iterator found, std::size_t cost, std::string_view owner) const;
  void give_back(Owners::iterator owner, std::size_t bytes);
  void live_until(Entries::value_type& entry, milliseconds time_to_live, Time now);

  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::uint64_t version_;
  Owners owners_;
  Entries entries_;
  Expiries expiries_;
};

}  // namespace appserver::bus
