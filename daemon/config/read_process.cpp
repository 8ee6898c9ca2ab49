#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "config/readers.hpp"
#include "config/suggest.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 9> kRlimits = {"nofile", "core",  "as",  "nproc",  "stack",
                                                      "data",   "fsize", "cpu", "memlock"};
constexpr std::array<std::string_view, 2> kRlimitKeys = {"soft", "hard"};
constexpr int kMaxProcessor = 1023;
constexpr std::size_t kMaxAffinity = 1024;

// A count (nofile, nproc, cpu in seconds) or a size; `unlimited` is nullopt.
struct RlimitRule {
  bool in_bytes = false;
  std::string expected() const {
    return in_bytes ? "a size such as 64MiB, or unlimited" : "a number, or unlimited";
  }
  Parsed<std::optional<std::uint64_t>> parse(std::string_view text) const {
    using Value = std::optional<std::uint64_t>;
    if (text == "unlimited") return Value{};
    if (in_bytes) {
      const auto size = SizeRule{}.parse(text);
      if (!size || size_is_infinity(*size)) return wrong_value(expected(), text);
      return Value{(*size).value};
    }
    const auto number = IntegerRule{0, std::numeric_limits<std::int64_t>::max()}.parse(text);
    if (!number) return wrong_value(expected(), text);
    return Value{static_cast<std::uint64_t>(*number)};
  }

 private:
  // The kernel's RLIM_INFINITY; one way to say it is enough.
  static bool size_is_infinity(Bytes size) {
    return size.value == std::numeric_limits<std::uint64_t>::max();
  }
};

bool counts_bytes(std::string_view rlimit) {
  return rlimit != "nofile" && rlimit != "nproc" && rlimit != "cpu";
}

void read_rlimit(const Section& rlimits, std::string_view name, Group& group) {
  const Entry* const entry = rlimits.find(name);
  if (entry == nullptr) return;
  const Scope& scope = rlimits.scope();
  const std::string path = rlimits.path_of(name);
  const RlimitRule rule{counts_bytes(name)};
  Rlimit limit;
  if (entry->value->kind != NodeKind::map) {
    if (!scope.read(*entry->value, path, rule, limit.soft)) return;
    limit.hard = limit.soft;
  } else {
    const Section both = rlimits.section(name, kRlimitKeys);
    const bool complete = both.find("soft") != nullptr && both.find("hard") != nullptr;
    if (!complete) {
      return scope.complain(*entry, path + ": needs both soft and hard, or one value for the two");
    }
    const bool soft = both.read("soft", rule, limit.soft);
    if (!both.read("hard", rule, limit.hard) || !soft) return;
    if (limit.hard && (!limit.soft || *limit.soft > *limit.hard)) {
      return scope.complain(*entry, path + ": soft is above hard");
    }
  }
  group.rlimits.emplace(name, limit);
}

// "3" or "0-3"; false if it is neither.
bool add_processors(std::string_view text, std::vector<int>& processors) {
  const std::size_t dash = text.find('-');
  const IntegerRule rule{0, kMaxProcessor};
  const auto first = rule.parse(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : rule.parse(text.substr(dash + 1));
  if (!first || !last || *last < *first) return false;
  for (std::int64_t i = *first; i <= *last && processors.size() <= kMaxAffinity; ++i) {
    processors.push_back(static_cast<int>(i));
  }
  return true;
}

struct AffinityRule {
  std::string expected() const { return "processors such as 0-3,6"; }
  Parsed<std::vector<int>> parse(std::string_view text) const {
    std::vector<int> processors;
    for (std::string_view rest = text;;) {
      const std::size_t comma = rest.find(',');
      if (!add_processors(rest.substr(0, comma), processors)) {
        return wrong_value(expected(), text, fmt::format("they go from 0 to {}", kMaxProcessor));
      }
      if (processors.size() > kMaxAffinity) {
        return wrong_value(fmt::format("at most {} processors", kMaxAffinity), text);
      }
      if (comma == std::string_view::npos) return processors;
      rest.remove_prefix(comma + 1);
    }
  }
};

void read_affinity(const Section& section, Group& group) {
  const Entry* const entry = section.find("cpu_affinity");
  if (entry == nullptr) return;
  const Scope& scope = section.scope();
  const std::string path = section.path_of("cpu_affinity");
  if (entry->value->kind != NodeKind::sequence) {
    scope.read(*entry->value, path, AffinityRule{}, group.cpu_affinity);
    return;
  }
  for (std::size_t i = 0; i < entry->value->items.size(); ++i) {
    std::vector<int> processors;
    scope.read(*entry->value->items[i], fmt::format("{}[{}]", path, i), AffinityRule{}, processors);
    group.cpu_affinity.insert(group.cpu_affinity.end(), processors.begin(), processors.end());
    if (group.cpu_affinity.size() > kMaxAffinity) {
      return scope.complain(*entry, fmt::format("{}: at most {} processors", path, kMaxAffinity));
    }
  }
}

void read_environment(const Section& section, Group& group) {
  const Entry* const entry = section.find("environment");
  if (entry == nullptr || entry->value->kind == NodeKind::null) return;
  const Scope& scope = section.scope();
  const std::string path = section.path_of("environment");
  if (entry->value->kind != NodeKind::map) {
    return scope.wrong_kind(*entry->value, path, "a mapping of variables to values");
  }
  for (const Entry& variable : entry->value->entries) {
    const std::string& name = variable.key;
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      scope.complain(variable,
                     fmt::format("{}: {} is not a name for a variable", path, in_quotes(name)));
      continue;
    }
    const std::string* const value = scope.scalar(*variable.value, fmt::format("{}.{}", path, name),
                                                  "a value (\"\" for an empty one)");
    if (value == nullptr) continue;
    if (value->find('\0') != std::string::npos) {
      scope.complain(variable, fmt::format("{}.{}: the value has a NUL byte", path, name));
      continue;
    }
    group.environment.emplace(name, *value);
  }
}

}  // namespace

void read_process(const Section& section, Group& group) {
  section.read("user", AccountRule{}, group.user);
  section.read("group", AccountRule{}, group.group);
  const Entry* const primary = section.find("group");
  if (primary != nullptr && section.find("user") == nullptr) {
    section.scope().complain(*primary, fmt::format("{}: goes with 'user' only; name that, too, or "
                                                   "leave 'group' out",
                                                   section.path_of("group")));
  }
  section.read("nice", IntegerRule{-20, 19}, group.nice);
  read_affinity(section, group);
  const Section rlimits = section.section("rlimits", kRlimits);
  for (const std::string_view name : kRlimits) read_rlimit(rlimits, name, group);
  read_environment(section, group);
  read_path(section, "working_directory", group.working_directory);
}

}  // namespace appserver::config
