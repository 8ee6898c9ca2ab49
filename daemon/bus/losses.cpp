#include "bus/losses.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace appserver::bus {
namespace {

constexpr std::size_t kLongestTopic = 80;

// A topic is any bytes.
std::string printable(std::string_view topic) {
  std::string text(topic.substr(0, kLongestTopic));
  std::ranges::replace_if(
      text, [](char c) { return c < 0x20 || c == 0x7f; }, '?');
  return topic.size() > kLongestTopic ? text + "..." : text;
}

std::string_view reason(Loss loss) {
  switch (loss) {
    case Loss::own_bound:
      return "more than 1 MiB waited for it: it is to do less in a turn of its loop, or to be sent "
             "less";
    case Loss::memory:
      return "what waits for all workers has reached a quarter of daemon.bus.memory: raise that, "
             "or let this worker do less in a turn of its loop";
    case Loss::no_bus:
      return "no bus took them within 2 s, other lines of the log say why; what must not be lost "
             "is to be kept elsewhere";
    case Loss::end:
      break;
  }
  return "the worker ended before the bus took them";
}

std::string described(const Losses::Way& way) {
  return (way.to.empty() ? "" : fmt::format(" for {}", way.to)) +
         (way.from.empty() ? "" : fmt::format(", published by {}", way.from));
}

}  // namespace

void Losses::dropped(Way way, std::string_view topic, Loss loss) {
  Key key{std::string(way.to), std::string(way.from), std::string(topic), loss};
  const auto found = dropped_.find(key);
  if (found != dropped_.end()) {
    ++found->second;
  } else if (dropped_.size() < kMostKept) {
    dropped_.emplace(std::move(key), 1);
  } else {
    ++others_;
  }
}

void Losses::closed(std::string_view who, std::string_view why) {
  if (closed_.size() < kMostKept) ++closed_[fmt::format("{}: {}", who, why)];
}

void Losses::refused(std::string_view who, std::string_view why) {
  if (refused_.size() < kMostKept) ++refused_[fmt::format("{}: {}", who, why)];
}

std::vector<std::string> Losses::report(Time now) {
  if (dropped_.empty() && closed_.empty() && refused_.empty()) return {};
  if (last_ && now - *last_ < kInterval) return {};
  last_ = now;
  std::vector<std::string> lines;
  for (const auto& [what, count] : closed_) {
    if (lines.size() == kMostLines / 2) break;
    lines.push_back(fmt::format("closed the connection of {} ({} times)", what, count));
  }
  for (const auto& [what, count] : refused_) {
    if (lines.size() >= kMostLines / 2) break;
    lines.push_back(fmt::format("refused {} changes of keys by {}", count, what));
  }
  std::vector<std::pair<Key, std::uint64_t>> worst(dropped_.begin(), dropped_.end());
  std::ranges::stable_sort(worst, std::ranges::greater(), &std::pair<Key, std::uint64_t>::second);
  std::uint64_t untold = others_;
  for (const auto& [key, count] : worst) {
    if (lines.size() + 1 < kMostLines) {
      lines.push_back(fmt::format("dropped {} messages of topic \"{}\"{}: {}", count,
                                  printable(key.topic), described({key.to, key.from}),
                                  reason(key.loss)));
    } else {
      untold += count;
    }
  }
  if (untold > 0) lines.push_back(fmt::format("dropped {} further messages", untold));
  dropped_.clear();
  closed_.clear();
  refused_.clear();
  others_ = 0;
  return lines;
}

}  // namespace appserver::bus
