#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace appserver::config {

namespace {

constexpr std::size_t kMinPrefix = 3;

std::string normalised(std::string_view word) {
  std::string result(word);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return result;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates) {
  std::optional<std::string_view> best;
  std::size_t best_distance = 0;
  // A long unknown key is common in hostile input only; it is near nothing we know.
  if (word.empty() || word.size() > 64) return best;
  const std::string given = normalised(word);
  for (const std::string_view candidate : candidates) {
    const std::size_t longer = std::max(given.size(), candidate.size());
    const std::size_t shorter = std::min(given.size(), candidate.size());
    const std::size_t limit = std::max<std::size_t>(1, longer / 3);
    std::size_t distance = edit_distance(given, candidate);
    const bool begins = given.substr(0, shorter) == candidate.substr(0, shorter);
    if (shorter >= kMinPrefix && begins) {
      // What was cut short is sure; what goes on differently may be meant for something nearer.
      distance = std::min(distance, given.size() < candidate.size() ? 1 : limit);
    }
    if (distance > limit) continue;
    const bool says_more = best && distance == best_distance && given.size() > best->size() &&
                           candidate.starts_with(*best);
    if (!best || distance < best_distance || says_more) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  if (const auto best = nearest(word, candidates))
    return fmt::format("; did you mean '{}'?", *best);
  if (candidates.empty()) return {};
  return "; known are " + listed(candidates, "and");
}

std::string listed(std::span<const std::string_view> words, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? fmt::format(" {} ", last) : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace appserver::config
