#include "telemetry/log_format.hpp"

#include <stdlib.h>
#include <time.h>

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <string>

using namespace appserver::telemetry;

namespace {

const std::chrono::system_clock::time_point kMoment =
    std::chrono::sys_days(std::chrono::year(2026) / 11 / 22) + std::chrono::hours(14) +
    std::chrono::milliseconds(7);

const Origin kWorker{.group = "api", .slot = 0, .pid = 1234, .build = "7be2d44"};

LogEntry entry(std::string_view message, Level level = Level::info,
               const Origin& origin = kWorker) {
  return {.time = kMoment, .level = level, .origin = origin, .message = message};
}

std::string text_of(std::string_view message) {
  const std::string line = format_text(entry(message));
  const std::string head = "api/0[1234] ";
  const auto at = line.find(head);
  REQUIRE(at != std::string::npos);
  REQUIRE(line.back() == '\n');
  return line.substr(at + head.size(), line.size() - at - head.size() - 1);
}

boost::json::object json_of(std::string_view message) {
  const std::string line = format_json(entry(message));
  REQUIRE(line.find('\n') == line.size() - 1);
  return boost::json::parse(line).as_object();
}

}  // namespace

TEST_CASE("a line of text has the local time, the level and who says it") {
  ::setenv("TZ", "UTC-1", 1);
  ::tzset();
  CHECK(format_text(entry("ready")) == "2026-11-22 15:00:00.007 info    api/0[1234] ready\n");
  CHECK(format_text(entry("bad", Level::error, {})) ==
        "2026-11-22 15:00:00.007 error   appserverd bad\n");
  CHECK(format_text(entry("hm", Level::warning, {.group = "api"})) ==
        "2026-11-22 15:00:00.007 warning api hm\n");
}

TEST_CASE("a message can't forge a line or steer a terminal") {
  CHECK(text_of("one\n2026-11-22 error   appserverd two") ==
        "one\\n2026-11-22 error   appserverd two");
  CHECK(text_of("a\tb\r\x1b[31m\x7f") == "a\\tb\\r\\x1b[31m\\x7f");
  CHECK(text_of(std::string_view("nul\0!", 5)) == "nul\\x00!");
  CHECK(text_of("c1 \xc2\x9b") == "c1 \\xc2\\x9b");
  CHECK(text_of("stray \xff\xfe \xe2\x82") == "stray \\xff\\xfe \\xe2\\x82");
  CHECK(text_of("overlong \xc0\xaf surrogate \xed\xa0\x80") ==
        "overlong \\xc0\\xaf surrogate \\xed\\xa0\\x80");
  CHECK(text_of("gr\u00fc\u00dfe \u20ac \U0001F680") == "gr\u00fc\u00dfe \u20ac \U0001F680");
  const std::string line = format_text(entry("x", Level::info, {.group = "a\nb"}));
  CHECK(line.find('\n') == line.size() - 1);
}

TEST_CASE("a message over the limit is cut with a mark, between characters") {
  CHECK(text_of(std::string(kMaxMessage, 'x')) == std::string(kMaxMessage, 'x'));
  CHECK(text_of(std::string(kMaxMessage + 5, 'x')) ==
        std::string(kMaxMessage, 'x') + " [cut: 5 bytes more]");
  const std::string within = std::string(kMaxMessage - 1, 'x') + "\u20ac tail";
  CHECK(text_of(within) == std::string(kMaxMessage - 1, 'x') + " [cut: 8 bytes more]");
  CHECK(json_of(within)["message"].as_string() ==
        std::string(kMaxMessage - 1, 'x') + " [cut: 8 bytes more]");
}

TEST_CASE("a line of JSON is one object with every field that is known") {
  const boost::json::object object = json_of("two\nlines \xff");
  CHECK(object.at("time").as_string() == "2026-11-22T14:00:00.007Z");
  CHECK(object.at("level").as_string() == "info");
  CHECK(object.at("message").as_string() == "two\nlines \\xff");
  CHECK(object.at("group").as_string() == "api");
  CHECK(object.at("slot").as_int64() == 0);
  CHECK(object.at("pid").as_int64() == 1234);
  CHECK(object.at("build").as_string() == "7be2d44");
  CHECK(boost::json::parse(format_json(entry("x", Level::info, {}))).as_object().size() == 3);
}

TEST_CASE("journal fields carry the origin and end with NUL") {
  const std::string fields = format_journal(entry(std::string_view("a\0b", 3), Level::error));
  const char expected[] =
      "MESSAGE=api/0[1234] a\\x00b\0PRIORITY=3\0SYSLOG_IDENTIFIER=appserverd\0APPSERVER_GROUP=api\0"
      "APPSERVER_SLOT=0\0APPSERVER_PID=1234\0APPSERVER_BUILD=7be2d44";
  CHECK(fields == std::string(expected, sizeof expected));
  const char daemon[] = "MESSAGE=up\0PRIORITY=6\0SYSLOG_IDENTIFIER=appserverd";
  CHECK(format_journal(entry("up", Level::info, {})) == std::string(daemon, sizeof daemon));
}
