#include "config/problems.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace appserver::config {

namespace {

constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kMaxQuoted = 60;

std::string join(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += to_string(problem);
  }
  return text;
}

}  // namespace

std::string to_string(const Place& place) {
  if (place.line <= 0) return place.file;
  return fmt::format("{}:{}:{}", place.file, place.line, place.column);
}

std::string to_string(const Problem& problem) {
  return to_string(Place{problem.file, problem.line, problem.column}) + ": " + problem.message;
}

std::string in_quotes(std::string_view text) {
  std::string result = "'";
  std::size_t end = std::min(text.size(), kMaxQuoted);
  // Not in the middle of a UTF-8 character.
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u) {
    --end;
  }
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  if (end < text.size()) result += "...";
  return result + "'";
}

ConfigError::ConfigError(std::vector<Problem> problems)
    : std::runtime_error(join(problems)), problems_(std::move(problems)) {}

void Problems::add(const Place& place, std::string message) {
  if (problems_.size() >= kMaxProblems) {
    ++dropped_;
    return;
  }
  problems_.push_back({place.file, place.line, place.column, std::move(message)});
}

std::string Problems::summary() const {
  const std::size_t more = problems_.size() - 1 + dropped_;
  const std::string first = to_string(problems_.front());
  return more == 0 ? first : fmt::format("{} (and {} more)", first, more);
}

std::vector<Problem> Problems::sorted() const {
  std::map<std::string, std::size_t> order;
  for (const Problem& problem : problems_) order.try_emplace(problem.file, order.size());
  std::vector<Problem> result = problems_;
  const auto key = [&order](const Problem& problem) {
    return std::make_tuple(order.at(problem.file), problem.line, problem.column);
  };
  std::ranges::stable_sort(result,
                           [&key](const Problem& a, const Problem& b) { return key(a) < key(b); });
  if (dropped_ > 0) {
    result.push_back(
        {problems_.front().file, 0, 0, fmt::format("{} more problems are not shown", dropped_)});
  }
  return result;
}

void Problems::throw_if_any() const {
  if (!problems_.empty()) throw ConfigError(sorted());
}

}  // namespace appserver::config
