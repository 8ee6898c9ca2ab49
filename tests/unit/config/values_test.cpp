#include "config/values.hpp"

#include <sched.h>

#include <catch2/catch.hpp>

using namespace appserver::config;
using namespace std::chrono_literals;

TEST_CASE("durations have a unit, and zero needs none") {
  const DurationRule rule;
  CHECK(*rule.parse("500ms") == 500ms);
  CHECK(*rule.parse("30s") == 30s);
  CHECK(*rule.parse("5m") == 5min);
  CHECK(*rule.parse("2h") == 2h);
  CHECK(*rule.parse("1d") == 24h);
  CHECK(*rule.parse("0") == 0s);
  CHECK(*rule.parse("0s") == 0s);
}

TEST_CASE("a duration that is none says what one looks like") {
  const DurationRule rule;
  CHECK(rule.parse("abc").problem() == "expected a duration such as 30s, got 'abc'");
  CHECK(rule.parse("30").problem() ==
        "expected a duration such as 30s, got '30'; add a unit: 30s or 30ms");
  CHECK(rule.parse("30sec").problem() ==
        "expected a duration such as 30s, got '30sec'; the units are ms, s, m, h and d");
  for (const char* text : {"", "-1s", "+1s", "1.5s", "1h30m", "1 s", "s", "0x1s", "1S"}) {
    INFO(text);
    CHECK_FALSE(rule.parse(text));
  }
}

TEST_CASE("durations are bounded at both ends and never overflow") {
  CHECK(*DurationRule{}.parse("365d") == 24h * 365);
  CHECK(DurationRule{}.parse("366d").problem() ==
        "expected a duration of at most 365d, got '366d'");
  CHECK_FALSE(DurationRule{}.parse("18446744073709551615d"));
  CHECK_FALSE(DurationRule{}.parse("99999999999999999999s"));
  CHECK(DurationRule{1ms}.parse("0").problem() == "expected a duration of at least 1ms, got '0'");
}

TEST_CASE("sizes are in powers of 1024 or of 1000, and a bare number is bytes") {
  const SizeRule rule;
  CHECK((*rule.parse("512KiB")).value == 512u << 10);
  CHECK((*rule.parse("10MiB")).value == 10u << 20);
  CHECK((*rule.parse("1GiB")).value == 1u << 30);
  CHECK((*rule.parse("2TiB")).value == 2ull << 40);
  CHECK((*rule.parse("10MB")).value == 10'000'000);
  CHECK((*rule.parse("100B")).value == 100);
  CHECK((*rule.parse("4096")).value == 4096);
  CHECK((*rule.parse("0")).value == 0);
}

TEST_CASE("a size that is none says what one looks like") {
  const SizeRule rule;
  CHECK(rule.parse("big").problem() == "expected a size such as 10MiB, got 'big'");
  CHECK(rule.parse("10M").problem() ==
        "expected a size such as 10MiB, got '10M'; the units are B, KB, MB, GB, TB, KiB, MiB, GiB "
        "and TiB");
  CHECK(rule.parse("99999999TiB").problem() ==
        "expected a size below 2^64 bytes, got '99999999TiB'");
  CHECK_FALSE(rule.parse("18446744073709551616"));
  CHECK_FALSE(rule.parse("-1"));
  CHECK_FALSE(rule.parse(""));
}

TEST_CASE("durations and sizes are written so that they read back") {
  for (const milliseconds value : {0ms, 1ms, 1500ms, 90'000ms, 60'000ms, 86'400'000ms}) {
    CHECK(*DurationRule{}.parse(to_text(value)) == value);
  }
  for (const std::uint64_t value : {0ull, 1ull, 1000ull, 1024ull, 3'000'000'000'000ull, ~0ull}) {
    CHECK(*SizeRule{}.parse(to_text(Bytes{value})) == Bytes{value});
  }
  CHECK(to_text(90s) == "90s");
  CHECK(to_text(Bytes{10u << 20}) == "10MiB");
}

TEST_CASE("a count is a number up to 1024, or the processors that this process may use") {
  cpu_set_t set;
  CPU_ZERO(&set);
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(static_cast<int>(*CountRule{}.parse("auto")) == CPU_COUNT(&set));
  CHECK(*CountRule{}.parse("1") == 1);
  CHECK(*CountRule{}.parse("1024") == 1024);
  CHECK(CountRule{}.parse("0").problem() == "expected a number from 1 to 1024, or auto, got '0'");
  CHECK_FALSE(CountRule{}.parse("1025"));
  CHECK_FALSE(CountRule{}.parse("4294967297"));
  CHECK_FALSE(CountRule{}.parse("two"));
}

TEST_CASE("a processor mask narrows what `auto` counts") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  }
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  const std::uint32_t count = usable_processors();
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(count == 1);
}

TEST_CASE("only true and false are booleans") {
  CHECK(*BooleanRule{}.parse("true"));
  CHECK_FALSE(*BooleanRule{}.parse("false"));
  CHECK(BooleanRule{}.parse("yes").problem() == "expected true or false, got 'yes'");
}

TEST_CASE("a wrong word is answered with the right ones") {
  CHECK(*LogLevelRule{}.parse("warning") == LogLevel::warning);
  CHECK(LogLevelRule{}.parse("warn").problem() ==
        "expected debug, info, warning or error, got 'warn'; did you mean 'warning'?");
  CHECK(LogFormatRule{}.parse("xml").problem() == "expected text, json or journald, got 'xml'");
}

TEST_CASE("what becomes of an inconclusive canary is one of three words") {
  CHECK(*InconclusiveRule{}.parse("continue") == Inconclusive::proceed);
  CHECK(*InconclusiveRule{}.parse("rollback") == Inconclusive::roll_back);
  CHECK(*InconclusiveRule{}.parse("wait") == Inconclusive::wait);
  for (const char* word : {"continue", "rollback", "wait"}) {
    CHECK(to_word(*InconclusiveRule{}.parse(word)) == word);
  }
  CHECK(InconclusiveRule{}.parse("roll_back").problem() ==
        "expected continue, rollback or wait, got 'roll_back'; did you mean 'rollback'?");
}

TEST_CASE("what can be off is off at zero, and from its least value on") {
  CHECK(*DurationOrOffRule{1s}.parse("0s") == 0s);
  CHECK(*DurationOrOffRule{1s}.parse("1s") == 1s);
  CHECK(DurationOrOffRule{1s}.parse("999ms").problem() ==
        "expected 0s for off, or a duration of at least 1s, got '999ms'");
  CHECK(DurationOrOffRule{1s}.parse("off").problem() ==
        "expected a duration such as 30s, got 'off'");
  CHECK(*SizeOrOffRule{Bytes{1024}}.parse("0") == Bytes{0});
  CHECK(*SizeOrOffRule{Bytes{1024}}.parse("1KiB") == Bytes{1024});
  CHECK(SizeOrOffRule{Bytes{1024}}.parse("1023").problem() ==
        "expected 0 for off, or a size of at least 1KiB, got '1023'");
  CHECK_FALSE(SizeOrOffRule{Bytes{1024}}.parse("much"));
}

TEST_CASE("a probe is the path of a request") {
  CHECK(*ProbeRule{}.parse("/healthz?deep=1") == "/healthz?deep=1");
  CHECK(ProbeRule{}.parse("healthz").problem() ==
        "expected a path such as /healthz, got 'healthz'; it begins with '/'");
  CHECK_FALSE(ProbeRule{}.parse("/a b"));
  CHECK_FALSE(ProbeRule{}.parse("/a\r\nX: y"));
  CHECK_FALSE(ProbeRule{}.parse("/\xc3\xa4"));
  CHECK_FALSE(ProbeRule{}.parse("/a#b"));
}

TEST_CASE("a group's name is short and plain") {
  CHECK(is_group_name("a"));
  CHECK(is_group_name("api-2_b"));
  CHECK(is_group_name(std::string(32, 'a')));
  for (const std::string& name :
       {std::string(), std::string("2a"), std::string("Api"), std::string("a.b"),
        std::string("a/b"), std::string("-a"), std::string("\xc3\xa4"), std::string(33, 'a')}) {
    INFO(name);
    CHECK_FALSE(is_group_name(name));
  }
}
