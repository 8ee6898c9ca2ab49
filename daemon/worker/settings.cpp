#include "worker/settings.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>

namespace appserver::worker {
namespace {

namespace json = boost::json;

const json::value* step(const json::value& value, std::string_view key) {
  if (const json::object* object = value.if_object()) {
    return object->if_contains(json::string_view(key.data(), key.size()));
  }
  const json::array* list = value.if_array();
  if (list == nullptr) return nullptr;
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  if (error != std::errc{} || end != key.data() + key.size() || index >= list->size())
    return nullptr;
  return &(*list)[index];
}

const json::value* walk(const json::value& root, std::string_view path) {
  const json::value* value = &root;
  while (value != nullptr) {
    const std::size_t dot = path.find('.');
    value = step(*value, path.substr(0, dot));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return value;
}

std::string to_text(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return {};
    case json::kind::string:
      return json::value_to<std::string>(value);
    case json::kind::double_:
      return fmt::format("{}", value.get_double());
    default:
      return json::serialize(value);
  }
}

}  // namespace

Settings::Settings(std::string json) : json_(std::move(json)), root_(json::parse(json_)) {}

std::optional<std::string_view> Settings::find(std::string_view path) {
  if (path.empty()) return json_;
  const std::lock_guard lock(mutex_);
  const auto known = texts_.find(path);
  if (known != texts_.end()) return known->second;
  const json::value* value = walk(root_, path);
  if (value == nullptr) return std::nullopt;
  return texts_.emplace(std::string(path), to_text(*value)).first->second;
}

}  // namespace appserver::worker
