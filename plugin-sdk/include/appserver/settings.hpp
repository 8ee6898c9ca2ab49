// The `settings:` of the plugin's group.
#pragma once

#include <appserver/abi.h>

#include <appserver/detail/convert.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace appserver {

// A path joins keys and list positions with dots: "db.hosts.0". A scalar is its text as written in
// the file, null is the empty text, a map or a list is JSON. Numbers are decimal; truth values are
// true/false, yes/no, on/off. Text that does not convert throws std::invalid_argument, which names
// the setting, its text and what was expected. Any thread; copies are cheap; valid as long as the
// plugin.
class Settings {
 public:
  Settings(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}

  // A setting that is null is there, too.
  bool has(std::string_view path) const noexcept { return raw(path).has_value(); }

  // The setting, converted to the fallback's type, or the fallback where there is none.
  std::string get(std::string_view path, std::string_view fallback) const {
    return std::string(raw(path).value_or(fallback));
  }
  std::string get(std::string_view path, std::nullptr_t) const = delete;

  template <class T>
    requires detail::Number<T> || detail::OneOf<T, bool>
  T get(std::string_view path, T fallback) const {
    const auto text = raw(path);
    return text ? converted<T>(path, *text) : fallback;
  }

  // As get, but a setting that is not there throws std::invalid_argument.
  template <detail::Convertible T = std::string>
  T require(std::string_view path) const {
    const auto text = raw(path);
    if (!text)
      throw std::invalid_argument("setting \"" + std::string(path) +
                                  "\" is missing; add it under `settings:`");
    return converted<T>(path, *text);
  }

  // The text, or JSON, of one setting, or of all of them. "null" where there is none. Lives as long
  // as the plugin.
  std::string_view json(std::string_view path = {}) const noexcept {
    return raw(path).value_or("null");
  }

 private:
  std::optional<std::string_view> raw(std::string_view path) const noexcept {
    appserver_str value{};
    if (host_->setting(worker_, detail::str(path), &value) != APPSERVER_OK) return std::nullopt;
    return detail::view(value);
  }

  template <detail::Convertible T>
  static T converted(std::string_view path, std::string_view text) {
    auto value = detail::convert<T>(text);
    if (value) return *std::move(value);
    throw std::invalid_argument("setting \"" + std::string(path) + "\" is \"" + std::string(text) +
                                "\", expected " + detail::expected<T>());
  }

  const appserver_host* host_;
  appserver_worker* worker_;
};

}  // namespace appserver
