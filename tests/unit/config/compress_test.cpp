#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "config/record.hpp"
#include "support.hpp"

using namespace appserver::config;

namespace {

const std::string kListen = "    listen: http://*:80\n";
constexpr const char* kOwn =
    "    compress: {types: [Text/HTML, 'image/*+xml'], min_size: 10KiB, level: 9}\n";

}  // namespace

TEST_CASE("answers are compressed where a group says so, with defaults for what it leaves out") {
  CHECK_FALSE(load_group("").compress.enabled);
  CHECK(load_group("    compress: false\n").compress == Compress{});
  const Compress on = load_group(kListen + "    compress: true\n").compress;
  CHECK(on.enabled);
  CHECK(on.min_size == Bytes{1024});
  CHECK(load_group(kListen + "    compress: {}\n").compress == on);
  const Compress own = load_group(kListen + kOwn).compress;
  CHECK(own.enabled);
  CHECK(own.types == std::vector<std::string>{"text/html", "image/*+xml"});
  CHECK(own.min_size == Bytes{10240});
  CHECK(own.level == 9);
}

TEST_CASE("what is wrong in compress is named") {
  constexpr const char* kExpected =
      "app.yaml:5:15: groups.api.compress: expected true, false, or a mapping of types, min_size "
      "and level, got ";
  const auto problems_with = [](const std::string& compress) {
    return group_problems(kListen + "    compress: " + compress + "\n");
  };
  CHECK(problems_with("gzip") ==
        Lines{kExpected + std::string("'gzip'; gzip is what is meant by compress: true")});
  CHECK(problems_with("[gzip]") == Lines{kExpected + std::string("a list")});
  CHECK(problems_with("{algorithm: br}").size() == 1);
  CHECK(problems_with("{level: 0}").size() == 1);
  CHECK(problems_with("{types: []}") ==
        Lines{"app.yaml:5:16: groups.api.compress.types is empty: give at least one media type, or "
              "leave it out for the usual ones"});
  for (const std::string type : {"html", "*/*", "text/", "text/*x*", "text/html;charset=utf-8"}) {
    INFO(type);
    const Lines problems = problems_with("{types: ['" + type + "']}");
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find("groups.api.compress.types[0]: expected a media type") !=
          std::string::npos);
  }
}

TEST_CASE("compress on a group without an address of HTTP is a mistake") {
  constexpr const char* kWords =
      "groups.api.compress: only answers to HTTP are compressed, and the group listens on no "
      "http:// or https:// address; leave it out";
  CHECK(group_problems("    listen: ['tcp://*:80', 'ws://*:81']\n    compress: true\n") ==
        Lines{std::string("app.yaml:5:5: ") + kWords});
  CHECK(group_problems("    compress: {level: 1}\n") ==
        Lines{std::string("app.yaml:4:5: ") + kWords});
  CHECK(group_problems("    listen: tcp://*:80\n    compress: false\n").empty());
  CHECK(group_problems("    listen: ['tcp://*:80', 'http://*:81']\n    compress: true\n").empty());
}

TEST_CASE("compress is dumped and recorded so that it reads back as it is") {
  const Config config = load_yaml("groups:\n  api:\n    plugin: hello\n" + kListen + kOwn);
  CHECK(load_yaml(dump(config)).groups == config.groups);
  CHECK(group_from_json(to_json(config.groups[0])) == config.groups[0]);
  const Group without = load_group("");
  CHECK(group_from_json(to_json(without)) == without);
  CHECK_FALSE(to_json(without).as_object().contains("compress"));
}
