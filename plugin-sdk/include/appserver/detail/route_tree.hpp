// Patterns of routes, and the one that fits a path best.
#pragma once

#include <appserver/detail/text.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::detail {

// The segments of a request's path, each percent-decoded once. "/a/" has two: "a" and "". Views
// into the request.
class Path {
 public:
  // nullopt for a wrong percent-encoding or an encoded NUL.
  static std::optional<Path> parse(std::string_view raw) {
    Path path;
    path.whole_ = raw;
    if (raw.empty() || raw.front() != '/') return path;
    for (std::size_t at = 1;;) {
      const std::size_t slash = raw.find('/', at);
      const std::string_view segment =
          raw.substr(at, slash == std::string_view::npos ? slash : slash - at);
      auto decoded = percent_decode(segment, false);
      if (!decoded || decoded->find('\0') != std::string::npos) return std::nullopt;
      path.segments_.push_back({at, segment, *std::move(decoded)});
      if (slash == std::string_view::npos) return path;
      at = slash + 1;
    }
  }

  // 0 for what is not a path, as in "OPTIONS *".
  std::size_t size() const noexcept { return segments_.size(); }
  const std::string& operator[](std::size_t index) const { return segments_[index].decoded; }
  std::string_view raw(std::size_t index) const { return segments_[index].raw; }
  std::string_view raw_from(std::size_t index) const {
    return whole_.substr(segments_[index].offset);
  }
  std::string decoded_from(std::size_t index) const {
    std::string joined = segments_[index].decoded;
    while (++index < segments_.size()) joined.append("/").append(segments_[index].decoded);
    return joined;
  }

  bool is_below(const std::vector<std::string>& prefix) const {
    if (prefix.size() > segments_.size()) return false;
    for (std::size_t i = 0; i < prefix.size(); ++i) {
      if (segments_[i].decoded != prefix[i]) return false;
    }
    return true;
  }

 private:
  struct Segment {
    std::size_t offset;
    std::string_view raw;
    std::string decoded;
  };

  std::string_view whole_;
  std::vector<Segment> segments_;
};

inline std::vector<std::string> split_pattern(std::string_view pattern) {
  if (pattern.empty() || pattern.front() != '/')
    throw std::invalid_argument("route \"" + std::string(pattern) + "\": it begins with '/'");
  std::vector<std::string> segments;
  for (std::size_t at = 1;;) {
    const std::size_t slash = pattern.find('/', at);
    if (slash == std::string_view::npos) {
      segments.emplace_back(pattern.substr(at));
      return segments;
    }
    segments.emplace_back(pattern.substr(at, slash - at));
    at = slash + 1;
  }
}

// Of a prefix: a slash at its end means nothing.
inline std::vector<std::string> plain_segments(std::string_view prefix) {
  auto segments = split_pattern(prefix);
  if (segments.back().empty()) segments.pop_back();
  for (const std::string& segment : segments) {
    if (segment.find_first_of("{}") != std::string::npos)
      throw std::invalid_argument("prefix \"" + std::string(prefix) + "\": it has no braces");
  }
  return segments;
}

struct RoutePattern {
  enum class Kind { kText, kOne, kRest };
  struct Segment {
    Kind kind;
    std::string text;  // or the name
  };

  std::string text;
  std::vector<Segment> segments;

  static RoutePattern parse(std::string_view text) {
    RoutePattern pattern{std::string(text), {}};
    const auto wrong = [&](const std::string& why) {
      throw std::invalid_argument("route \"" + pattern.text + "\": " + why);
    };
    std::set<std::string> names;
    for (std::string& segment : split_pattern(text)) {
      if (!pattern.segments.empty() && pattern.segments.back().kind == Kind::kRest)
        wrong("nothing comes behind {name...}");
      if (segment.find_first_of("{}") == std::string::npos) {
        pattern.segments.push_back({Kind::kText, std::move(segment)});
        continue;
      }
      if (segment.size() < 2 || segment.front() != '{' || segment.back() != '}')
        wrong("braces stand for a whole segment: {name} or {name...}");
      std::string name = segment.substr(1, segment.size() - 2);
      const bool rest = name.ends_with("...");
      if (rest) name.resize(name.size() - 3);
      if (!is_name(name)) wrong("\"" + name + "\" is no name: letters, digits and '_'");
      if (!names.insert(name).second) wrong("the name \"" + name + "\" stands there twice");
      pattern.segments.push_back({rest ? Kind::kRest : Kind::kOne, std::move(name)});
    }
    return pattern;
  }

  // Whether some paths fit both, and each has paths of its own.
  bool crosses(const RoutePattern& other) const {
    bool narrower = false;
    bool wider = false;
    for (std::size_t i = 0;; ++i) {
      const bool ends = i == segments.size();
      const bool other_ends = i == other.segments.size();
      if (ends || other_ends) return ends && other_ends && narrower && wider;
      const Segment& mine = segments[i];
      const Segment& its = other.segments[i];
      if (mine.kind == Kind::kRest || its.kind == Kind::kRest) {
        if (mine.kind != its.kind) (mine.kind == Kind::kRest ? wider : narrower) = true;
        return narrower && wider;
      }
      if (mine.kind == Kind::kText && its.kind == Kind::kText) {
        if (mine.text != its.text) return false;
      } else if (mine.kind != its.kind) {
        const Segment& text_one = mine.kind == Kind::kText ? mine : its;
        if (text_one.text.empty()) return false;  // {name} is never empty
        (mine.kind == Kind::kText ? narrower : wider) = true;
      }
    }
  }

 private:
  static bool is_name(std::string_view name) noexcept {
    for (const char c : name) {
      const bool letter = (lower(c) >= 'a' && lower(c) <= 'z') || c == '_';
      if (!letter && !(c >= '0' && c <= '9')) return false;
    }
    return !name.empty();
  }
};

struct Route {
  struct Param {
    std::string name;
    std::size_t segment;
    bool rest;
  };
  std::string method;  // empty: any
  RoutePattern pattern;
  std::vector<Param> params;
  std::size_t handler;
};

// A node is visited once at most for a path, so that looking one up costs no more than there are
// patterns.
class RouteTree {
 public:
  struct Found {
    const Route* route = nullptr;
    std::string allow;  // without a route: methods that the path has
  };

  void add(std::string_view method, std::string_view text, std::size_t handler) {
    auto route =
        std::make_unique<Route>(Route{std::string(method), RoutePattern::parse(text), {}, handler});
    for (const auto& other : routes_) {
      if (other->method != route->method && !other->method.empty() && !route->method.empty())
        continue;
      if (route->pattern.crosses(other->pattern))
        throw std::invalid_argument("route " + shown(*route) + ": ambiguous with " + shown(*other) +
                                    ", some paths fit both and neither is more specific");
    }
    Leaf& leaf = grow(*route);
    for (const Route* other : leaf) {
      if (other->method == route->method)
        throw std::invalid_argument("route " + shown(*route) + ": there is already " +
                                    shown(*other));
    }
    leaf.push_back(route.get());
    routes_.push_back(std::move(route));
  }

  Found find(std::string_view method, const Path& path) const {
    Search search{method, path, {}};
    if (path.size() == 0) return {};
    if (const Route* route = descend(search, root_, 0)) return {route, {}};
    Found found;
    for (const std::string& each : search.allowed) {
      if (!found.allow.empty()) found.allow += ", ";
      found.allow += each;
    }
    return found;
  }

 private:
  using Leaf = std::vector<const Route*>;
  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> texts;
    std::unique_ptr<Node> one;
    Leaf here;
    Leaf rest;
  };
  struct Search {
    std::string_view method;
    const Path& path;
    std::set<std::string> allowed;
  };

  static std::string shown(const Route& route) {
    return (route.method.empty() ? "any" : route.method) + " \"" + route.pattern.text + "\"";
  }

  Leaf& grow(Route& route) {
    Node* node = &root_;
    for (std::size_t i = 0; i < route.pattern.segments.size(); ++i) {
      const auto& [kind, text] = route.pattern.segments[i];
      if (kind != RoutePattern::Kind::kText)
        route.params.push_back({text, i, kind == RoutePattern::Kind::kRest});
      if (kind == RoutePattern::Kind::kRest) return node->rest;
      auto& child = kind == RoutePattern::Kind::kText ? node->texts[text] : node->one;
      if (!child) child = std::make_unique<Node>();
      node = child.get();
    }
    return node->here;
  }

  static const Route* descend(Search& search, const Node& node, std::size_t depth) {
    if (depth == search.path.size()) return choose(search, node.here);
    const std::string& segment = search.path[depth];
    if (const auto child = node.texts.find(segment); child != node.texts.end()) {
      if (const Route* route = descend(search, *child->second, depth + 1)) return route;
    }
    if (node.one && !segment.empty()) {
      if (const Route* route = descend(search, *node.one, depth + 1)) return route;
    }
    return choose(search, node.rest);
  }

  static const Route* choose(Search& search, const Leaf& leaf) {
    const Route* any = nullptr;
    const Route* head = nullptr;
    for (const Route* route : leaf) {
      if (route->method == search.method) return route;
      if (route->method.empty()) any = route;
      if (route->method == "GET" && search.method == "HEAD") head = route;
    }
    if (head != nullptr) return head;
    if (any != nullptr) return any;
    for (const Route* route : leaf) {
      search.allowed.insert(route->method);
      if (route->method == "GET") search.allowed.insert("HEAD");
    }
    return nullptr;
  }

  Node root_;
  std::vector<std::unique_ptr<Route>> routes_;
};

}  // namespace appserver::detail
