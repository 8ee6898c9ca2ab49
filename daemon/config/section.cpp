#include "config/section.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/suggest.hpp"

namespace appserver::config {

namespace {

std::string_view kind_in_words(NodeKind kind) {
  switch (kind) {
    case NodeKind::null:
      return "nothing";
    case NodeKind::scalar:
      return "a single value";
    case NodeKind::sequence:
      return "a list";
    case NodeKind::map:
      return "a mapping";
  }
  return "nothing";
}

}  // namespace

void Scope::wrong_kind(const Node& node, const std::string& path, std::string_view what) const {
  if (node.faulty) return;
  const std::string got =
      node.kind == NodeKind::scalar ? in_quotes(node.text) : std::string(kind_in_words(node.kind));
  complain(node, fmt::format("{}: expected {}, got {}", path, what, got));
}

const std::string* Scope::scalar(const Node& node, const std::string& path,
                                 std::string_view what) const {
  if (node.kind == NodeKind::scalar && !node.faulty) return &node.text;
  wrong_kind(node, path, what);
  return nullptr;
}

Section::Section(const Scope& scope, NodePtr node, std::string path, Keys known,
                 std::span<const Moved> moved)
    : scope_(scope), node_(std::move(node)), path_(std::move(path)) {
  if (!node_) return;
  const std::string here = path_.empty() ? "the top level" : path_;
  if (node_->kind != NodeKind::map) {
    if (node_->kind != NodeKind::null) scope_.wrong_kind(*node_, here, "a mapping");
    node_.reset();
    return;
  }
  for (const Entry& entry : node_->entries) {
    if (std::ranges::find(known, entry.key) != known.end()) continue;
    const auto found = std::ranges::find(moved, entry.key, &Moved::key);
    const std::string way_out = found == moved.end()
                                    ? suggestion(entry.key, known)
                                    : fmt::format("; write {} instead", found->place);
    scope_.complain(entry, fmt::format("unknown key {} {} {}{}", in_quotes(entry.key),
                                       path_.empty() ? "at" : "in", here, way_out));
  }
}

std::string Section::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Entry* Section::find(std::string_view key) const {
  return node_ ? find_entry(*node_, key) : nullptr;
}

Section Section::section(std::string_view key, Keys known, std::span<const Moved> moved) const {
  const Entry* const entry = find(key);
  return Section(scope_, entry != nullptr ? entry->value : nullptr, path_of(key), known, moved);
}

}  // namespace appserver::config
