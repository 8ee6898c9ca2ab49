// A group's `settings:` as a plugin asks for them.
#pragma once

#include <boost/json/value.hpp>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace appserver::worker {

// Any thread.
class Settings final {
 public:
  // `json`: the subtree. Throws where it is not JSON.
  explicit Settings(std::string json);

  // The value at a path of keys and list positions joined by dots; empty: the whole. A scalar as
  // its text, null as the empty text, a map or list as JSON. The text lives as long as this object.
  std::optional<std::string_view> find(std::string_view path);

 private:
  std::string json_;
  boost::json::value root_;
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> texts_;
};

}  // namespace appserver::worker
