#include "config/settings.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

std::string json_of(const std::string& yaml) {
  return load_group("    settings: " + yaml + "\n").settings;
}

}  // namespace

TEST_CASE("settings become JSON with their keys in order") {
  CHECK(json_of("{z: 1, a: {y: [], x: {}}, m: [1, two, [3]]}") ==
        R"({"z":1,"a":{"y":[],"x":{}},"m":[1,"two",[3]]})");
}

TEST_CASE("no settings are an empty object") {
  CHECK(load_group("").settings == "{}");
  CHECK(json_of("") == "{}");
  CHECK(json_of("{}") == "{}");
}

TEST_CASE("unquoted scalars have the types of YAML's core schema") {
  CHECK(json_of("[1, -2, +3, 007, 0x1F, 0o17]") == "[1,-2,3,7,31,15]");
  CHECK(json_of("[9223372036854775807, -9223372036854775808, 18446744073709551615]") ==
        "[9223372036854775807,-9223372036854775808,18446744073709551615]");
  CHECK(json_of("[1.5, -.5, 2., 1e3, +1.5]") == "[1.5E0,-5E-1,2E0,1E3,1.5E0]");
  CHECK(json_of("[true, True, FALSE]") == "[true,true,false]");
  CHECK(json_of("[null, ~, NULL, ]") == "[null,null,null]");
}

TEST_CASE("everything else is a string, and so is all that is quoted") {
  CHECK(json_of("[yes, off, 1.2.3, 1e, 0x, 12:30, 2026-01-01, 30s, -, +, ., e1]") ==
        R"(["yes","off","1.2.3","1e","0x","12:30","2026-01-01","30s","-","+",".","e1"])");
  CHECK(json_of("['1', \"true\", 'null', \"\"]") == R"(["1","true","null",""])");
  CHECK(json_of("{1: a, true: b}") == R"({"1":"a","true":"b"})");
  CHECK(json_of("|\n      line\n      next") == R"("line\nnext\n")");
}

TEST_CASE("text is carried over byte by byte") {
  CHECK(json_of("\"\\0 \\x1f \xc3\xa4 \xf0\x9f\x98\x80 \\\" \\\\\"") ==
        "\"\\u0000 \\u001f \xc3\xa4 \xf0\x9f\x98\x80 \\\" \\\\\"");
}

TEST_CASE("a number that JSON cannot hold is refused, not rounded") {
  CHECK(group_problems("    settings: {big: 18446744073709551616}\n") ==
        Lines{"app.yaml:4:21: groups.api.settings: the number '18446744073709551616' does not fit "
              "64 bits; put it "
              "in quotes to keep it as text"});
  CHECK(group_problems("    settings: [.inf]\n").size() == 1);
  CHECK(group_problems("    settings: [-.INF]\n").size() == 1);
  CHECK(group_problems("    settings: [.nan]\n").size() == 1);
  CHECK(group_problems("    settings: [1e999]\n").size() == 1);
}
