// A mapping of the file with the keys it may have, read field by field.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "config/problems.hpp"
#include "config/tree.hpp"

namespace appserver::config {

// One document being read, and where its problems go. Both outlive it.
struct Scope {
  const Document& document;
  Problems& problems;

  void complain(const Node& node, std::string message) const {
    problems.add(document.at(node), std::move(message));
  }
  void complain(const Entry& entry, std::string message) const {
    problems.add(document.at(entry), std::move(message));
  }
  // "PATH: expected WHAT, got a list"
  void wrong_kind(const Node& node, const std::string& path, std::string_view what) const;

  // The text of a scalar; nullptr after a problem (now or before) that says what was expected.
  const std::string* scalar(const Node& node, const std::string& path, std::string_view what) const;

  // Reads a scalar by a rule of values.hpp into `out`; false, and `out` untouched, after a problem.
  template <typename Rule, typename Out>
  bool read(const Node& node, const std::string& path, const Rule& rule, Out& out) const {
    const std::string* const text = scalar(node, path, rule.expected());
    if (text == nullptr) return false;
    auto parsed = rule.parse(*text);
    if (!parsed) {
      complain(node, path + ": " + parsed.problem());
      return false;
    }
    out = static_cast<Out>(std::move(*parsed));
    return true;
  }
};

// A key that is refused with the place that says the same.
struct Moved {
  std::string_view key;
  std::string_view place;  // from the top level: "daemon.plugins.dir"
};

class Section {
 public:
  using Keys = std::span<const std::string_view>;

  // Complains of keys that are not `known`, and says where the `moved` ones are. `path` is empty at
  // the top level. A null node is a section without keys; so is, after a problem, one that is no
  // mapping.
  Section(const Scope& scope, NodePtr node, std::string path, Keys known,
          std::span<const Moved> moved = {});

  const Scope& scope() const { return scope_; }
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view key) const;

  // nullptr if the key is absent.
  const Entry* find(std::string_view key) const;
  Section section(std::string_view key, Keys known, std::span<const Moved> moved = {}) const;

  // `out` keeps its value if the key is absent.
  template <typename Rule, typename Out>
  bool read(std::string_view key, const Rule& rule, Out& out) const {
    const Entry* const entry = find(key);
    return entry != nullptr && scope_.read(*entry->value, path_of(key), rule, out);
  }

 private:
  Scope scope_;
  NodePtr node_;
  std::string path_;
};

}  // namespace appserver::config
