// What the bus had to drop or close, gathered for the log. Pure: time is handed in.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::bus {

enum class Loss : std::uint8_t {
  own_bound,  // more waited for this worker than may
  memory,     // more waited for all workers together than may
};

class Losses final {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds kInterval{10};  // between two reports
  static constexpr std::size_t kMostLines = 10;         // of a report
  static constexpr std::size_t kMostKept = 1000;        // pairs of worker and topic

  // `who` is "group/slot, pid 7".
  void dropped(std::string_view who, std::string_view topic, Loss loss);
  void closed(std::string_view who, std::string_view why);

  // What has happened since the last report, worst first, for a warning each; nothing where that
  // was less than kInterval ago.
  std::vector<std::string> report(Time now);

 private:
  struct Key {
    std::string who;
    std::string topic;
    Loss loss;
    auto operator<=>(const Key&) const = default;
  };

  std::map<Key, std::uint64_t> dropped_;
  std::uint64_t others_ = 0;  // dropped messages over kMostKept
  std::map<std::string, std::uint64_t> closed_;
  std::optional<Time> last_;
};

}  // namespace appserver::bus
