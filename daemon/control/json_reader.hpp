// Reading JSON of a known shape: every mismatch is a BadJson that names the place.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/words.hpp"

namespace appserver::control {

// A view of one object; the value must outlive it.
class JsonReader {
 public:
  // `place` is how messages call the value: "groups[0]", or "" for the whole document.
  JsonReader(const boost::json::value& value, std::string place);

  bool has(std::string_view key) const;  // present and not null
  // The key must be there.
  std::string text(std::string_view key) const;
  bool flag(std::string_view key) const;
  double number(std::string_view key) const;
  std::uint64_t count(std::string_view key) const;
  const boost::json::array& array(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key) const;
  const boost::json::value& at(std::string_view key) const;
  JsonReader object(std::string_view key) const;
  const boost::json::object& members() const { return *object_; }

  // Of keys that the daemons of earlier versions do not send.
  std::uint64_t count_or_0(std::string_view key) const { return has(key) ? count(key) : 0; }

  template <typename Integer>
  Integer integer(std::string_view key) const {
    const std::uint64_t value = count(key);
    if (value > static_cast<std::uint64_t>(std::numeric_limits<Integer>::max()))
      fail(key, "too large");
    return static_cast<Integer>(value);
  }

  template <typename Enum, std::size_t Size>
  Enum word(std::string_view key, const Words<Enum, Size>& words) const {
    const std::string found = text(key);
    const std::optional<Enum> value = value_of(words, found);
    if (!value) fail(key, "unknown word \"" + found + "\"");
    return *value;
  }

  // Refuses every key that is not among these.
  void allow_only(std::initializer_list<std::string_view> keys) const;

  std::string place_of(std::string_view key) const;
  [[noreturn]] void fail(std::string_view key, std::string_view why) const;

 private:
  const boost::json::object* object_;
  std::string place_;
};

std::string as_text(const boost::json::value& value, const std::string& place);
double as_number(const boost::json::value& value, const std::string& place);

}  // namespace appserver::control
