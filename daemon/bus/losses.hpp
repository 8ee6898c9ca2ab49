// What the bus, or a worker without it, had to drop or close, gathered for the log. Pure: time is
// handed in.
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
  // In the worker that published it:
  no_bus,  // no bus took it in time
  end,     // nor before the worker ended
};

class Losses final {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds kInterval{10};  // between two reports
  static constexpr std::size_t kMostLines = 10;         // of a report
  static constexpr std::size_t kMostKept = 1000;        // ways and topics

  // For whom a message was and who has published it, as "group/slot, pid 7"; "" where it goes
  // without saying.
  struct Way {
    std::string_view to;
    std::string_view from;
  };
  void dropped(Way way, std::string_view topic, Loss loss);
  void closed(std::string_view who, std::string_view why);
  void refused(std::string_view who, std::string_view why);  // the change of a key

  // What has happened since the last report, worst first, for a warning each; nothing where that
  // was less than kInterval ago. Time::max() is always late enough.
  std::vector<std::string> report(Time now);

 private:
  struct Key {
    std::string to;
    std::string from;
    std::string topic;
    Loss loss;
    auto operator<=>(const Key&) const = default;
  };

  std::map<Key, std::uint64_t> dropped_;
  std::uint64_t others_ = 0;  // dropped messages over kMostKept
  std::map<std::string, std::uint64_t> closed_;
  std::map<std::string, std::uint64_t> refused_;
  std::optional<Time> last_;
};

}  // namespace appserver::bus
