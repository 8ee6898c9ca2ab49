// A YAML file as a tree of values with their places: aliases resolved, ${VAR} expanded, bounded.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "config/problems.hpp"

namespace appserver::config {

enum class NodeKind { null, scalar, sequence, map };

struct Node;
using NodePtr = std::shared_ptr<const Node>;  // shared, because an alias is the same node again

struct Entry {
  std::string key;
  int line = 0;  // of the key
  int column = 0;
  NodePtr value;
};

struct Node {
  NodeKind kind = NodeKind::null;
  int line = 0;
  int column = 0;
  std::string text;            // scalar: its value after expansion
  bool plain = false;          // scalar: unquoted, so it may be a number, a boolean or null
  bool faulty = false;         // scalar: a problem was reported for it; say no more
  std::vector<NodePtr> items;  // sequence
  std::vector<Entry> entries;  // map; the keys are distinct
  std::size_t weight = 0;      // of the whole subtree, aliases counted each time
  int depth = 1;               // levels in the subtree, at most 100
};

// nullptr if `node` is no mapping, or one without this key.
const Entry* find_entry(const Node& node, std::string_view key);

// One file and where it stands.
struct Document {
  std::string name;              // as problems say it
  std::filesystem::path folder;  // absolute; its relative paths begin here
  NodePtr root;                  // null after a problem that left no tree

  Place at(const Node& node) const { return {name, node.line, node.column}; }
  Place at(const Entry& entry) const { return {name, entry.line, entry.column}; }
};

// Parses `text` into `document.root`. Problems: syntax, duplicate keys, merge keys ("<<"), tags,
// more than one document, unset variables, and trees too deep or too large. Never throws for them.
void parse_tree(std::string_view text, const Environment& environment, Document& document,
                Problems& problems);

}  // namespace appserver::config
