#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "config/record.hpp"
#include "support.hpp"

using namespace appserver::config;

namespace {

constexpr const char* kOwn =
    "    compress: {types: [Text/HTML, 'image/*+xml'], min_size: 10KiB, level: 9}\n";

}  // namespace

TEST_CASE("answers are compressed where a group says so, with defaults for what it leaves out") {
  CHECK_FALSE(load_group("").compress.enabled);
  CHECK(load_group("    compress: false\n").compress == Compress{});
  const Compress on = load_group("    compress: true\n").compress;
  CHECK(on.enabled);
  CHECK(on.min_size == Bytes{1024});
  CHECK(load_group("    compress: {}\n").compress == on);
  const Compress own = load_group(kOwn).compress;
  CHECK(own.enabled);
  CHECK(own.types == std::vector<std::string>{"text/html", "image/*+xml"});
  CHECK(own.min_size == Bytes{10240});
  CHECK(own.level == 9);
}

TEST_CASE("what is wrong in compress is named") {
  CHECK(group_problems("    compress: gzip\n").size() == 1);
  CHECK(group_problems("    compress: [gzip]\n").size() == 1);
  CHECK(group_problems("    compress: {algorithm: br}\n").size() == 1);
  CHECK(group_problems("    compress: {level: 0}\n").size() == 1);
  CHECK(group_problems("    compress: {types: []}\n").size() == 1);
  for (const std::string type : {"html", "*/*", "text/", "text/*x*", "text/html;charset=utf-8"}) {
    INFO(type);
    const Lines problems = group_problems("    compress: {types: ['" + type + "']}\n");
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find("groups.api.compress.types[0]: expected a media type") !=
          std::string::npos);
  }
}

TEST_CASE("compress is dumped and recorded so that it reads back as it is") {
  const Config config = load_yaml("groups:\n  api:\n    plugin: hello\n" + std::string(kOwn));
  CHECK(load_yaml(dump(config)).groups == config.groups);
  CHECK(group_from_json(to_json(config.groups[0])) == config.groups[0]);
  const Group without = load_group("");
  CHECK(group_from_json(to_json(without)) == without);
  CHECK_FALSE(to_json(without).as_object().contains("compress"));
}
