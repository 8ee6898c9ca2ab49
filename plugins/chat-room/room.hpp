// A room: who is in it at this worker, and what was said last.
#pragma once

#include <algorithm>
#include <appserver/connection.hpp>
#include <cstddef>
#include <deque>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "line.hpp"

namespace chat {

class Room {
 public:
  std::set<appserver::Connection> members;

  const std::deque<Line>& lines() const { return lines_; }
  const Known& known() const { return known_; }

  // False: it is known already.
  bool add(const Line& line, std::size_t most) {
    if (knows(known_, line)) return false;
    remember(line);
    lines_.push_back(line);
    trim(most);
    return true;
  }

  // Lines from before this worker has heard of the room, for members to come.
  void add_older(const Line& line, std::size_t most) {
    const auto same = [&](const Line& each) {
      return each.from == line.from && each.seq == line.seq;
    };
    if (std::any_of(lines_.begin(), lines_.end(), same)) return;
    remember(line);
    const auto later = std::find_if(lines_.begin(), lines_.end(),
                                    [&](const Line& each) { return each.time > line.time; });
    lines_.insert(later, line);
    trim(most);
  }

 private:
  void remember(const Line& line) {
    std::uint64_t& last = known_[line.from];
    last = std::max(last, line.seq);
  }

  void trim(std::size_t most) {
    while (lines_.size() > most) lines_.pop_front();
    // Of workers that are long gone nothing more comes.
    constexpr std::size_t kMostWorkers = 1000;
    if (known_.size() <= kMostWorkers) return;
    std::erase_if(known_, [&](const auto& each) {
      return std::none_of(lines_.begin(), lines_.end(),
                          [&](const Line& line) { return line.from == each.first; });
    });
  }

  std::deque<Line> lines_;
  Known known_;
};

// What goes along with a member to the worker that takes it over: who it is, what it has been told,
// and what was said last. Of the lines only the newest that fit.
struct Luggage {
  std::string room;
  std::string name;
  Known told;
  std::vector<Line> lines;
};

constexpr std::string_view kLuggage = "chat 1";

inline std::string pack(const std::string& room_name, const std::string& name, const Room& room) {
  constexpr std::size_t kMost = 60'000;
  std::string packed = std::string(kLuggage) + '\n' + room_name + '\t' + name + '\n';
  for (const auto& [from, seq] : room.known())
    packed += "known\t" + from + '\t' + std::to_string(seq) + '\n';
  std::vector<std::string> records;
  std::size_t size = packed.size();
  for (auto line = room.lines().rbegin(); line != room.lines().rend(); ++line) {
    records.push_back("line\t" + to_record(*line) + '\n');
    size += records.back().size();
    if (size > kMost) break;
  }
  if (size > kMost) records.pop_back();
  for (auto record = records.rbegin(); record != records.rend(); ++record) packed += *record;
  return packed;
}

// Throws std::runtime_error for what another kind of build has packed.
inline Luggage unpack(std::string_view packed) {
  if (take_until(packed, '\n') != kLuggage)
    throw std::runtime_error("a member comes from a build that this one does not know");
  Luggage luggage;
  std::string_view who = take_until(packed, '\n');
  luggage.room = take_until(who, '\t');
  luggage.name = who;
  while (!packed.empty()) {
    std::string_view record = take_until(packed, '\n');
    const std::string_view kind = take_until(record, '\t');
    if (kind == "known") {
      const std::string from(take_until(record, '\t'));
      luggage.told[from] = number_of<std::uint64_t>(record);
    } else if (kind == "line") {
      luggage.lines.push_back(to_line(record));
    }
  }
  return luggage;
}

}  // namespace chat
