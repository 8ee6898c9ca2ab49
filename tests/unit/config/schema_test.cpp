#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "config/problems.hpp"
#include "config/source.hpp"
#include "config/tree.hpp"
#include "support.hpp"

using namespace appserver::config;
namespace json = boost::json;

namespace {

const std::filesystem::path kFolder = APPSERVER_CONFIG_FOLDER;

std::string content(const std::filesystem::path& file) {
  Problems problems;
  auto text = read_source(file, file.native(), problems);
  problems.throw_if_any();
  return *text;
}

NodePtr tree_of(const std::string& text) {
  Problems problems;
  Document document{"text", "/srv", nullptr};
  parse_tree(text, environment_of({}), document, problems);
  problems.throw_if_any();
  return document.root;
}

// The keys of the schema as "groups.*.reload.surge", each with what it says of it.
class Schema {
 public:
  Schema() : root_(json::parse(content(kFolder / "app.schema.json"))) { collect(root_, ""); }

  const std::map<std::string, const json::object*>& keys() const { return keys_; }
  bool has_keys_below(const std::string& path) const {
    const auto next = keys_.upper_bound(path + ".");
    return next != keys_.end() && next->first.starts_with(path + ".");
  }

 private:
  void collect(const json::value& schema, const std::string& path) {
    const json::object& object = schema.as_object();
    if (const json::value* const more = object.if_contains("additionalProperties")) {
      // Only groups have names that are free and keys that are not.
      if (path == "groups") {
        CHECK(more->at("$ref") == "#/definitions/group");
        collect(root_.at("definitions").at("group"), "groups.*");
      }
    }
    const json::value* const properties = object.if_contains("properties");
    if (properties == nullptr) return;
    for (const auto& property : properties->as_object()) {
      const std::string key =
          (path.empty() ? "" : path + ".") + std::string(std::string_view(property.key()));
      keys_[key] = &property.value().as_object();
      collect(property.value(), key);
    }
  }

  json::value root_;
  std::map<std::string, const json::object*> keys_;
};

// The keys of a configuration in the schema's terms; what is below one that the schema leaves open
// is no key.
void collect(const Node& node, const std::string& path, const Schema& schema,
             std::set<std::string>& keys) {
  for (const Entry& entry : node.entries) {
    const bool is_name = path == "groups";
    const std::string key = (path.empty() ? "" : path + ".") + (is_name ? "*" : entry.key);
    if (!is_name) keys.insert(key);
    if (schema.has_keys_below(key)) collect(*entry.value, key, schema, keys);
  }
}

std::set<std::string> keys_of(const std::string& file, const Schema& schema) {
  std::set<std::string> keys;
  collect(*tree_of(content(kFolder / file)), "", schema, keys);
  return keys;
}

// The text at a key of the schema in a configuration whose only group is `api`.
std::optional<std::string> text_at(const Node& root, std::string path) {
  if (const auto star = path.find('*'); star != std::string::npos) path.replace(star, 1, "api");
  const Node* node = &root;
  for (std::size_t begin = 0; begin != std::string::npos;) {
    const std::size_t dot = path.find('.', begin);
    const Entry* const entry = find_entry(*node, path.substr(begin, dot - begin));
    if (entry == nullptr) return std::nullopt;
    node = entry->value.get();
    begin = dot == std::string::npos ? dot : dot + 1;
  }
  return node->text;
}

}  // namespace

TEST_CASE("the schema and the example of every key have the same keys") {
  const Schema schema;
  std::set<std::string> known;
  for (const auto& [key, value] : schema.keys()) known.insert(key);
  CHECK(known.size() > 50);
  CHECK(keys_of("app.yaml", schema) == known);
}

TEST_CASE("the schema knows every key of the quickstart") {
  const Schema schema;
  for (const std::string& key : keys_of("quickstart.yaml", schema)) {
    INFO(key);
    CHECK(schema.keys().contains(key));
  }
}

TEST_CASE("what the schema calls a default is in force where a file says nothing") {
  const Schema schema;
  const NodePtr in_force = tree_of(dump(load_yaml("groups: {api: {plugin: hello}}")));
  int defaults = 0;
  for (const auto& [key, value] : schema.keys()) {
    const json::value* const given = value->if_contains("default");
    if (given == nullptr) continue;
    INFO(key);
    std::string expected =
        given->is_string() ? std::string(given->get_string()) : json::serialize(*given);
    const auto text = text_at(*in_force, key);
    REQUIRE(text);
    if (text->starts_with('/')) expected.insert(0, "/srv/");
    CHECK(*text == expected);
    ++defaults;
  }
  CHECK(defaults > 20);
}

TEST_CASE("the schema refuses the names that a group cannot have") {
  const json::value schema = json::parse(content(kFolder / "app.schema.json"));
  const json::value& names =
      schema.at("properties").at("groups").at("propertyNames").at("not").at("enum");
  for (const json::value& name : names.as_array()) {
    const std::string text(name.get_string());
    INFO(text);
    CHECK(problems_of("groups: {" + text + ": {plugin: p}}").size() == 1);
  }
  CHECK(names.as_array().size() == 5);
}
