#include "config/tree.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "config/expand.hpp"
#include "config/source.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr int kMaxDepth = 100;
constexpr std::size_t kMaxKey = 256;
// An alias costs nothing in the file and its whole subtree afterwards; this bounds what nine
// anchors of nine aliases each can become.
constexpr std::size_t kMaxWeight = std::size_t{8} << 20;
constexpr std::size_t kNodeWeight = 16;

[[noreturn]] void stop(const YAML::Mark& mark, const std::string& message) {
  throw YAML::ParserException(mark, message);
}

// Receives yaml-cpp's events. (YAML::Node would keep duplicate keys and lose the places of keys.)
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const Environment& environment, const Document& document, Problems& problems)
      : environment_(environment), document_(document), problems_(problems) {}

  NodePtr root() const { return root_; }
  const Node* last_scalar() const { return last_scalar_.get(); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_) stop(mark, "a second YAML document; one file holds one");
    started_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(mark, anchor, make(NodeKind::null, mark));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "an alias inside the very value that it names");
    add(mark, YAML::NullAnchor, found->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(NodeKind::scalar, mark);
    node->plain = tag == "?" || tag.empty();
    if (tag != "!" && tag != "tag:yaml.org,2002:str") check_tag(mark, tag);
    node->text = value;
    if (!key_comes_next()) expand_text(*node);
    if (node->plain && is_null_word(node->text)) node->kind = NodeKind::null;
    node->weight += node->text.size();
    last_scalar_ = node;
    add(mark, anchor, std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    if (tag != "tag:yaml.org,2002:seq") check_tag(mark, tag);
    open(NodeKind::sequence, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    if (tag != "tag:yaml.org,2002:map") check_tag(mark, tag);
    open(NodeKind::map, mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    std::shared_ptr<Node> node;
    YAML::Mark mark;
    YAML::anchor_t anchor = YAML::NullAnchor;
    NodePtr key;                                        // map: read, and waiting for its value
    std::unordered_map<std::string, std::size_t> keys;  // map: index into entries
  };

  static std::shared_ptr<Node> make(NodeKind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = std::max(mark.line, 0) + 1;
    node->column = std::max(mark.column, 0) + 1;
    node->weight = kNodeWeight;
    return node;
  }

  bool key_comes_next() const {
    return !frames_.empty() && frames_.back().node->kind == NodeKind::map && !frames_.back().key;
  }

  void complain(const Node& node, std::string message) {
    problems_.add(document_.at(node), std::move(message));
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    complain(*make(NodeKind::null, mark),
             fmt::format("the tag {} is not supported; leave it out, or quote a value to make it a "
                         "string",
                         in_quotes(tag)));
  }

  void expand_text(Node& node) {
    if (node.text.find("${") == std::string::npos) return;
    Parsed<std::string> expanded = expand(node.text, environment_);
    if (expanded) {
      node.text = std::move(*expanded);
    } else {
      complain(node, expanded.problem());
      node.faulty = true;
    }
  }

  void open(NodeKind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (frames_.size() >= static_cast<std::size_t>(kMaxDepth)) {
      stop(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    frames_.push_back({make(kind, mark), mark, anchor, nullptr, {}});
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    add(frame.mark, frame.anchor, std::move(frame.node));
  }

  void add(const YAML::Mark& mark, YAML::anchor_t anchor, NodePtr node) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    Node& parent = *frame.node;
    parent.weight += node->weight;
    parent.depth = std::max(parent.depth, node->depth + 1);
    if (parent.weight > kMaxWeight) {
      stop(mark, "too large: more than 8 MiB of values once aliases are expanded");
    }
    if (parent.depth > kMaxDepth)
      stop(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    if (parent.kind == NodeKind::sequence) {
      parent.items.push_back(std::move(node));
    } else if (!frame.key) {
      frame.key = std::move(node);
    } else {
      add_entry(frame, std::move(node));
    }
  }

  void add_entry(Frame& frame, NodePtr value) {
    const NodePtr key = std::exchange(frame.key, nullptr);
    if (key->kind != NodeKind::scalar) return complain(*key, "a key must be a word, not a value");
    if (key->plain && key->text == "<<") {
      return complain(*key, "merge keys (<<) are not supported; write the keys out");
    }
    if (key->text.size() > kMaxKey) {
      return complain(*key, fmt::format("a key longer than {} bytes", kMaxKey));
    }
    const auto [known, inserted] = frame.keys.try_emplace(key->text, frame.node->entries.size());
    if (!inserted) {
      const Entry& first = frame.node->entries[known->second];
      return complain(*key, fmt::format("duplicate key {}; first at {}", in_quotes(key->text),
                                        to_string(document_.at(first))));
    }
    if (value->kind == NodeKind::null) value = null_at(*key);
    frame.node->entries.push_back({key->text, key->line, key->column, std::move(value)});
  }

  // yaml-cpp places an absent value at whatever comes next, which may be lines below.
  static NodePtr null_at(const Node& key) {
    auto node = std::make_shared<Node>();
    node->line = key.line;
    node->column = key.column;
    return node;
  }

  const Environment& environment_;
  const Document& document_;
  Problems& problems_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, NodePtr> anchors_;
  NodePtr root_;
  NodePtr last_scalar_;
  bool started_ = false;
};

// yaml-cpp speaks of its scanner's states; this says what a person did.
std::string in_words(const std::string& message) {
  using Words = std::pair<const char*, const char*>;
  const std::array<Words, 9> words = {{
      {YAML::ErrorMsg::TAB_IN_INDENTATION, "a tab in the indentation; use spaces"},
      {YAML::ErrorMsg::END_OF_MAP,
       "this does not belong to the mapping above; check its indentation"},
      {YAML::ErrorMsg::END_OF_SEQ, "this does not belong to the list above; check its indentation"},
      {YAML::ErrorMsg::END_OF_MAP_FLOW,
       "a '{' is not closed by '}' here; quote values in it that have brackets, as \"${NAME}\""},
      {YAML::ErrorMsg::END_OF_SEQ_FLOW,
       "a '[' is not closed by ']' here; quote values in it that have brackets, as \"${NAME}\""},
      {YAML::ErrorMsg::MAP_VALUE,
       "a ':' where no value can stand; check the indentation, or quote the text"},
      {YAML::ErrorMsg::MAP_KEY, "a key where none can stand; check the indentation"},
      {YAML::ErrorMsg::EOF_IN_SCALAR, "a quote is not closed"},
      {YAML::ErrorMsg::UNKNOWN_TOKEN, "a character that YAML cannot take here; quote the text"},
  }};
  for (const auto& [theirs, ours] : words) {
    if (message == theirs) return ours;
  }
  return message;
}

// The rest of `text` from a place that yaml-cpp gave (it counts bytes); empty if there is none.
std::string_view text_from(std::string_view text, int line, int column) {
  for (; line > 1; --line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(std::min(static_cast<std::size_t>(column - 1), text.size()));
}

// yaml-cpp ends a quoted scalar silently where the file ends; a file cut short must not load.
bool is_open_quote(std::string_view text) {
  if (!text.starts_with('\'') && !text.starts_with('"')) return false;
  const char quote = text.front();
  for (std::size_t i = 1; i < text.size(); ++i) {
    const bool doubled = quote == '\'' && text.substr(i, 2) == "''";
    if (doubled || (quote == '"' && text[i] == '\\')) {
      ++i;
    } else if (text[i] == quote) {
      return false;
    }
  }
  return true;
}

bool is_indented_by_tab(std::string_view text, int line) {
  const std::string_view rest = text_from(text, line, 1);
  return rest.substr(0, rest.find_first_not_of(" \t")).find('\t') != std::string_view::npos;
}

}  // namespace

const Entry* find_entry(const Node& node, std::string_view key) {
  const auto found = std::ranges::find(node.entries, key, &Entry::key);
  return found == node.entries.end() ? nullptr : &*found;
}

void parse_tree(std::string_view text, const Environment& environment, Document& document,
                Problems& problems) {
  if (!check_source(text, document.name, problems)) return;
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(environment, document, problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    const Node* const last = builder.last_scalar();
    if (last != nullptr && is_open_quote(text_from(text, last->line, last->column))) {
      problems.add(document.at(*last), "not valid YAML: a quote is not closed");
      return;
    }
    document.root = builder.root() ? builder.root() : std::make_shared<Node>();
  } catch (const YAML::Exception& error) {
    if (error.mark.is_null()) {
      problems.add({document.name, 0, 0}, "not valid YAML: " + in_words(error.msg));
      return;
    }
    const int line = error.mark.line + 1;
    const std::string what = is_indented_by_tab(text, line) ? "a tab in the indentation; use spaces"
                                                            : in_words(error.msg);
    problems.add({document.name, line, error.mark.column + 1}, "not valid YAML: " + what);
  }
}

}  // namespace appserver::config
