// What is said in a room, and how it travels between workers.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace chat {

enum class Kind { said, came, left };

struct Line {
  std::string from;       // the worker in which it was said: no two workers have the same
  std::uint64_t seq = 0;  // from 1 within that worker
  Kind kind = Kind::said;
  std::int64_t time = 0;  // milliseconds since 1970
  std::string name;
  std::string text;
};

// Of each worker the last line that is known. Lines of a worker are known in their order.
using Known = std::map<std::string, std::uint64_t, std::less<>>;

inline bool knows(const Known& known, const Line& line) {
  const auto found = known.find(line.from);
  return found != known.end() && line.seq <= found->second;
}

// One line, whoever wrote it: a control character becomes a space, so that tabs and line breaks can
// stand between fields and records.
inline std::string without_controls(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return clean;
}

// The part of `rest` before the mark, and off it.
inline std::string_view take_until(std::string_view& rest, char mark) {
  const std::size_t end = rest.find(mark);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

template <class Number>
Number number_of(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) throw std::runtime_error("no number in a line");
  return number;
}

inline std::string to_record(const Line& line) {
  return line.from + '\t' + std::to_string(line.seq) + '\t' +
         std::to_string(static_cast<int>(line.kind)) + '\t' + std::to_string(line.time) + '\t' +
         line.name + '\t' + line.text;
}

// Throws std::runtime_error for what is none.
inline Line to_line(std::string_view record) {
  Line line;
  line.from = take_until(record, '\t');
  line.seq = number_of<std::uint64_t>(take_until(record, '\t'));
  const int kind = number_of<int>(take_until(record, '\t'));
  if (kind < 0 || kind > static_cast<int>(Kind::left))
    throw std::runtime_error("a line of an unknown kind");
  line.kind = static_cast<Kind>(kind);
  line.time = number_of<std::int64_t>(take_until(record, '\t'));
  line.name = take_until(record, '\t');
  line.text = record;
  return line;
}

}  // namespace chat
