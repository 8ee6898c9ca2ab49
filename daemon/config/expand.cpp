#include "config/expand.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "config/problems.hpp"
#include "config/source.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxExpanded = std::size_t{1} << 20;

bool is_variable_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9')) return false;
  }
  return true;
}

// `reference` is what stands between "${" and "}".
Parsed<std::string> look_up(std::string_view reference, const Environment& environment) {
  const std::size_t separator = reference.find(":-");
  const std::string name(reference.substr(0, separator));
  if (!is_variable_name(name)) {
    return failed(fmt::format(
        "{} is no variable; write ${{NAME}}, ${{NAME:-default}}, or $${{ for a plain ${{",
        in_quotes(fmt::format("${{{}}}", reference))));
  }
  std::optional<std::string> value = environment(name);
  if (separator != std::string_view::npos && (!value || value->empty())) {
    return std::string(reference.substr(separator + 2));
  }
  if (!value) {
    return failed(fmt::format(
        "${{{0}}} is not set in the environment; set it, or write ${{{0}:-default}}", name));
  }
  if (first_non_utf8(*value)) return failed(fmt::format("the value of ${{{}}} is not UTF-8", name));
  return std::move(*value);
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  };
}

Parsed<std::string> expand(std::string_view text, const Environment& environment) {
  std::string result;
  while (!text.empty()) {
    if (text.starts_with("$${")) {
      result += "${";
      text.remove_prefix(3);
    } else if (text.starts_with("${")) {
      const std::size_t end = text.find('}');
      if (end == std::string_view::npos) {
        return failed(fmt::format("{} is not closed; add '}}', or write $${{ for a plain ${{",
                                  in_quotes(text)));
      }
      Parsed<std::string> value = look_up(text.substr(2, end - 2), environment);
      if (!value) return value;
      result += *value;
      text.remove_prefix(end + 1);
    } else {
      const std::size_t next = std::min(text.find('$', 1), text.size());
      result += text.substr(0, next);
      text.remove_prefix(next);
    }
    if (result.size() > kMaxExpanded) {
      return failed("larger than 1 MiB once its variables are expanded");
    }
  }
  return result;
}

}  // namespace appserver::config
