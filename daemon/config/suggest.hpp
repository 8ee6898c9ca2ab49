// "did you mean": the nearest of a few known words.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace appserver::config {

// The least number of letters inserted, removed, replaced or swapped with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate that `word` was probably meant to be; nullopt if none is near. Case and '-' for '_'
// do not count.
std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates);

// "; did you mean 'count'?", or "; known are a, b and c" where none is near.
std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

// "a, b or c"; `last` is the word before the last one.
std::string listed(std::span<const std::string_view> words, std::string_view last);

}  // namespace appserver::config
