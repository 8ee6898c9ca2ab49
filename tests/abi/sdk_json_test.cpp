// JSON put together.
#include <appserver/json.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

using appserver::json_quote;
using appserver::JsonText;

TEST_CASE("text is quoted so that any reader of JSON gets it back") {
  REQUIRE(json_quote("") == "\"\"");
  REQUIRE(json_quote("a\"b\\c/") == "\"a\\\"b\\\\c/\"");
  REQUIRE(json_quote("\n\t\x01\x7f") == "\"\\u000a\\u0009\\u0001\\u007f\"");
  REQUIRE(json_quote(std::string("a\0b", 3)) == "\"a\\u0000b\"");
  REQUIRE(json_quote("</script>") == "\"\\u003c/script>\"");
  REQUIRE(json_quote("\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80") ==
          "\"\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

TEST_CASE("what is not UTF-8 is replaced, byte by byte") {
  const std::string r = "\xEF\xBF\xBD";
  REQUIRE(json_quote("a\xFF"
                     "b") == "\"a" + r + "b\"");
  REQUIRE(json_quote("\xC3") == "\"" + r + "\"");
  REQUIRE(json_quote("\xC3\"") == "\"" + r + "\\\"\"");
  REQUIRE(json_quote("\xC0\xAF") == "\"" + r + r + "\"");
  REQUIRE(json_quote("\xE0\x80\xAF") == "\"" + r + r + r + "\"");
  REQUIRE(json_quote("\xED\xA0\x80") == "\"" + r + r + r + "\"");
  REQUIRE(json_quote("\xF4\x90\x80\x80") == "\"" + r + r + r + r + "\"");
  REQUIRE(json_quote("\xF0\x9F\x98") == "\"" + r + r + r + "\"");
}

TEST_CASE("objects, arrays and values stand as they are given") {
  JsonText json;
  json.object().key("id").value(7).key("on").value(true).key("none").value(nullptr);
  json.key("list").array().value("a").value(-1).array().end().object().end().value(0.5).end();
  json.key("\"").object().end().end();
  REQUIRE(json.take() == R"({"id":7,"on":true,"none":null,"list":["a",-1,[],{},0.5],"\"":{}})");
  REQUIRE(json.value("next").take() == "\"next\"");
  REQUIRE(JsonText().value(std::numeric_limits<std::uint64_t>::max()).take() ==
          "18446744073709551615");
  REQUIRE(JsonText().value(std::numeric_limits<double>::infinity()).take() == "null");
  REQUIRE(JsonText().value(0.1).take() == "0.1");
}

TEST_CASE("members out of place are refused") {
  REQUIRE_THROWS_AS(JsonText().take(), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().end(), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().key("a"), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().value(1).value(2), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().object().value(1), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().object().key("a").key("b"), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().object().key("a").end(), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().array().key("a"), std::logic_error);
  REQUIRE_THROWS_AS(JsonText().array().take(), std::logic_error);
}
