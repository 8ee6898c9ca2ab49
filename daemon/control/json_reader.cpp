#include "control/json_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/stream_parser.hpp>

namespace appserver::control {

namespace json = boost::json;

JsonReader::JsonReader(const json::value& value, std::string place)
    : object_(value.if_object()), place_(std::move(place)) {
  if (object_ == nullptr) {
    throw BadJson(fmt::format("{}: expected an object", place_.empty() ? "document" : place_));
  }
}

bool JsonReader::has(std::string_view key) const {
  const json::value* found = object_->if_contains(key);
  return found != nullptr && !found->is_null();
}

const json::value& JsonReader::at(std::string_view key) const {
  const json::value* found = object_->if_contains(key);
  if (found == nullptr) fail(key, "missing");
  return *found;
}

std::string JsonReader::text(std::string_view key) const { return as_text(at(key), place_of(key)); }

bool JsonReader::flag(std::string_view key) const {
  const bool* found = at(key).if_bool();
  if (found == nullptr) fail(key, "expected true or false");
  return *found;
}

double JsonReader::number(std::string_view key) const { return as_number(at(key), place_of(key)); }

std::uint64_t JsonReader::count(std::string_view key) const {
  const json::value& found = at(key);
  if (const auto* value = found.if_uint64()) return *value;
  if (const auto* value = found.if_int64(); value != nullptr && *value >= 0) {
    return static_cast<std::uint64_t>(*value);
  }
  fail(key, "expected a whole number, 0 or more");
}

const json::array& JsonReader::array(std::string_view key) const {
  const json::array* found = at(key).if_array();
  if (found == nullptr) fail(key, "expected a list");
  return *found;
}

std::vector<std::string> JsonReader::texts(std::string_view key) const {
  std::vector<std::string> found;
  for (const json::value& each : array(key)) {
    found.push_back(as_text(each, place_of(fmt::format("{}[{}]", key, found.size()))));
  }
  return found;
}

JsonReader JsonReader::object(std::string_view key) const { return {at(key), place_of(key)}; }

void JsonReader::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& member : *object_) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      fail(key, fmt::format("unknown key; known: {}",
                            keys.size() == 0 ? "none" : fmt::format("{}", fmt::join(keys, ", "))));
    }
  }
}

std::string JsonReader::place_of(std::string_view key) const {
  return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
}

void JsonReader::fail(std::string_view key, std::string_view why) const {
  throw BadJson(fmt::format("{}: {}", place_of(key), why));
}

std::string as_text(const json::value& value, const std::string& place) {
  const json::string* found = value.if_string();
  if (found == nullptr) throw BadJson(place + ": expected a string");
  return std::string(found->data(), found->size());
}

double as_number(const json::value& value, const std::string& place) {
  if (const auto* found = value.if_double()) return *found;
  if (const auto* found = value.if_int64()) return static_cast<double>(*found);
  if (const auto* found = value.if_uint64()) return static_cast<double>(*found);
  throw BadJson(place + ": expected a number");
}

json::value parse_json(std::string_view text) {
  json::error_code error;
  std::size_t used = 0;
  json::stream_parser parser;
  used = parser.write_some(text.data(), text.size(), error);
  if (!error && used == text.size()) parser.finish(error);
  if (!error && used < text.size()) error = json::error::extra_data;
  if (error) throw BadJson(fmt::format("not JSON at byte {}: {}", used, error.message()));
  return parser.release();
}

}  // namespace appserver::control
