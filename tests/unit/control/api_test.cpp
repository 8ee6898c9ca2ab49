#include "control/api.hpp"

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "control/time_text.hpp"
#include "fake_daemon.hpp"

using namespace appserver::control;

namespace json = boost::json;

namespace {

json::value through_text(const json::value& value) { return parse_json(json::serialize(value)); }

}  // namespace

TEST_CASE("a status survives the way through JSON") {
  const Status status = sample_status();
  REQUIRE(status_from_json(through_text(to_json(status))) == status);
  REQUIRE(status_from_json(through_text(to_json(Status{}))) == Status{});
}

TEST_CASE("a rollout under way and the notes are part of the status") {
  Status status = sample_status();
  status.rollout = sample_rollout();
  status.notes = {"the plugin folder has a newer hello.so; load it with `appserverctl reload`"};
  status.groups[0].release = 41;
  status.groups[0].recycled = 3;
  status.groups[0].workers[0].state = WorkerState::hung;
  const json::value value = through_text(to_json(status));
  REQUIRE(status_from_json(value) == status);
  REQUIRE(value.at("daemon").at("release").as_int64() == 42);
  REQUIRE(to_json(sample_status()).at("rollout").is_null());
  REQUIRE(to_json(sample_status()).at("notes").as_array().empty());
}

TEST_CASE("the bus is part of the status once there is one") {
  Status status = sample_status();
  status.bus = BusStatus{812, 1 << 20, 64 << 20, 3, 2, 8, 1000, 5, 1, "SIGKILL"};
  const json::value value = through_text(to_json(status));
  REQUIRE(status_from_json(value) == status);
  REQUIRE(value.at("bus").at("memory_limit_bytes") == 64 << 20);
  REQUIRE(to_json(sample_status()).at("bus").is_null());
}

TEST_CASE("the status of a daemon that does not know releases yet can be read") {
  json::value value = to_json(sample_status());
  value.as_object().erase("rollout");
  value.as_object().erase("notes");
  value.at("daemon").as_object().erase("release");
  value.at("groups").at(0).as_object().erase("release");
  value.at("groups").at(0).as_object().erase("recycled");
  Status expected = sample_status();
  expected.daemon.release = 0;
  REQUIRE(status_from_json(value) == expected);
}

TEST_CASE("a rollout survives the way through JSON, with null where there is nothing to say") {
  RolloutStatus rollout = sample_rollout();
  REQUIRE(rollout_from_json(through_text(to_json(rollout))) == rollout);
  rollout.state = RolloutState::over;
  rollout.left.reset();
  rollout.result = RolloutResult::rolled_back;
  rollout.queued = true;
  const json::value value = through_text(to_json(rollout));
  REQUIRE(rollout_from_json(value) == rollout);
  REQUIRE(value.at("left_ms").is_null());
  REQUIRE(value.at("result").as_string() == "rolled_back");
}

TEST_CASE("an abort is not offered where the daemon does not say that it would work") {
  json::value value = to_json(sample_rollout());
  REQUIRE(rollout_from_json(value).can_abort);
  value.as_object().erase("can_abort");
  REQUIRE_FALSE(rollout_from_json(value).can_abort);
}

TEST_CASE("releases and crashes survive the way through JSON, with their times in UTC") {
  for (const ReleaseSummary& release : sample_history()) {
    REQUIRE(release_from_json(through_text(to_json(release))) == release);
  }
  REQUIRE(to_json(sample_history()[0]).at("when").as_string() == "2026-11-22T14:03:07Z");
  REQUIRE(crash_from_json(through_text(to_json(sample_crash()))) == sample_crash());
  REQUIRE(crash_from_json(through_text(to_json(CrashRecord{}))) == CrashRecord{});
  json::value crash = to_json(sample_crash());
  crash.as_object()["when"] = "yesterday";
  REQUIRE_THROWS_WITH(crash_from_json(crash),
                      "crash.when: expected a time such as 2026-11-22T14:03:07Z");
  crash = to_json(sample_crash());
  crash.as_object()["stack"] = json::array{"a", 1};
  REQUIRE_THROWS_WITH(crash_from_json(crash), "crash.stack[1]: expected a string");
}

TEST_CASE("what a plugin wrote is UTF-8 in the JSON, whatever it was") {
  CrashRecord crash = sample_crash();
  crash.output = {"\xff!"};
  REQUIRE(to_json(crash).at("output").at(0).as_string() == "\\xff!");
}

TEST_CASE("a time is text in UTC, and only such text is a time") {
  REQUIRE(time_text(sample_time() + std::chrono::milliseconds(999)) == "2026-11-22T14:03:07Z");
  REQUIRE(time_text({}) == "1970-01-01T00:00:00Z");
  REQUIRE(parse_time("2026-11-22T14:03:07Z") == sample_time());
  REQUIRE(parse_time("2024-02-29T23:59:59Z"));
  for (const char* text :
       {"", "2026-11-22", "2026-11-22 14:03:07Z", "2026-11-22T14:03:07", "2026-13-22T14:03:07Z",
        "2025-02-29T14:03:07Z", "2026-11-22T24:03:07Z", "2026-11-22T14:60:07Z",
        "9999-11-22T14:03:07Z", "-026-11-22T14:03:07Z", "2026-11-22T14:03:07Z "}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse_time(text));
  }
}

TEST_CASE("the largest counters survive the way through JSON") {
  Status status = sample_status();
  status.groups[0].workers[0].requests = std::numeric_limits<std::uint64_t>::max();
  REQUIRE(status_from_json(through_text(to_json(status))) == status);
}

TEST_CASE("the JSON of a status has the documented keys, with null where there is nothing to say") {
  const json::value value = to_json(sample_status());
  REQUIRE(json::serialize(value.at("daemon").at("state")) == "\"running\"");
  const json::value& group = value.at("groups").at(0);
  REQUIRE(json::serialize(group.at("state")) == "\"crash-loop\"");
  REQUIRE(
      json::serialize(group.at("build")) ==
      R"({"sha256":"7be2d44aa0010203","build_id":"c0ffee","name":"hello","version":"1.0.0","abi":"1.0"})");
  const json::value& ready = group.at("workers").at(0);
  REQUIRE(ready.at("last_exit").is_null());
  REQUIRE(ready.at("next_try_seconds").is_null());
  REQUIRE(ready.at("lends_to").is_null());
  REQUIRE(ready.at("state_lost").is_null());
  REQUIRE(group.at("workers").at(1).at("state_lost").as_string() ==
          "on_save_state: the disk is full");
  REQUIRE(ready.at("uptime_seconds").as_int64() == 74 * 3600);
  REQUIRE(group.at("workers").at(1).at("next_try_seconds").as_double() == Approx(8.5));
  REQUIRE(value.at("groups").at(1).at("build").is_null());
}

TEST_CASE("whole numbers are written as such, others to the digit") {
  Status status = sample_status();
  WorkerStatus& worker = status.groups[0].workers[0];
  worker.metrics = {{"large", 1e300}, {"minus", -3}, {"none", 0}, {"part", 0.25}};
  worker.next_try = std::chrono::milliseconds(0);
  const json::value value = to_json(status);
  const json::value& written = value.at("groups").at(0).at("workers").at(0);
  REQUIRE(json::serialize(written.at("metrics")) ==
          R"({"large":1E300,"minus":-3,"none":0,"part":2.5E-1})");
  REQUIRE(json::serialize(written.at("next_try_seconds")) == "0");
  REQUIRE(status_from_json(through_text(value)) == status);
}

TEST_CASE("a metric that is no finite number becomes null") {
  Status status = sample_status();
  status.groups[0].workers[0].metrics["bad"] = std::numeric_limits<double>::infinity();
  const json::value value = through_text(to_json(status));
  REQUIRE(value.at("groups").at(0).at("workers").at(0).at("metrics").at("bad").is_null());
  REQUIRE(status_from_json(value) == sample_status());
}

TEST_CASE("an event survives the way through JSON, and leaves out what it does not say") {
  RolloutEvent event{.kind = EventKind::slot_replaced, .rollout = "r-7", .group = "hello"};
  event.slot = 0;
  event.pid = 12;
  event.old_pid = 11;
  event.cut = 0;
  event.handed_over = 64;
  event.slots = 4;
  event.slots_done = 1;
  event.elapsed = std::chrono::milliseconds(310);
  REQUIRE(event_from_json(through_text(to_json(event))) == event);
  REQUIRE(json::serialize(to_json(RolloutEvent{.text = "hi"})) ==
          R"({"event":"message","elapsed_ms":0,"text":"hi"})");
}

TEST_CASE("every kind of event has a word of its own") {
  std::set<std::string_view> words;
  for (int kind = 0; kind <= static_cast<int>(EventKind::done); ++kind) {
    const RolloutEvent event{.kind = static_cast<EventKind>(kind)};
    words.insert(to_word(event.kind));
    if (event.kind != EventKind::done) REQUIRE(event_from_json(to_json(event)) == event);
  }
  REQUIRE(words.size() == 18);
  REQUIRE(words.count("unknown") == 0);
}

TEST_CASE("the last event carries the result and the exit code") {
  const auto expect = [](RolloutResult result, int code) {
    const json::value value = to_json(done_event(result));
    REQUIRE(value.at("exit_code").as_int64() == code);
    REQUIRE(event_from_json(value).result == result);
  };
  expect(RolloutResult::done, 0);
  expect(RolloutResult::failed, 1);
  expect(RolloutResult::stopped, 1);
  expect(RolloutResult::refused, 3);
  expect(RolloutResult::rolled_back, 4);
  expect(RolloutResult::partial, 5);
  expect(RolloutResult::busy, 6);
}

TEST_CASE("a reader takes unknown keys and kinds, and an unknown result for a failure") {
  REQUIRE(event_from_json(parse_json(R"({"event":"slot_polished","new":1,"text":"t"})")).kind ==
          EventKind::message);
  REQUIRE(event_from_json(parse_json(R"({"event":"done","result":"dunno"})")).result ==
          RolloutResult::failed);
}

TEST_CASE("JSON of another shape is refused with the place") {
  json::value value = to_json(sample_status());
  value.at("groups").at(0).at("workers").at(1).as_object()["slot"] = -1;
  REQUIRE_THROWS_WITH(status_from_json(value),
                      "groups[0].workers[1].slot: expected a whole number, 0 or more");
  value.at("groups").at(0).as_object().erase("workers");
  REQUIRE_THROWS_WITH(status_from_json(value), "groups[0].workers: missing");
  REQUIRE_THROWS_WITH(status_from_json(parse_json("[]")), "document: expected an object");
  REQUIRE_THROWS_AS(parse_json("{\"a\":1} x"), BadJson);
  REQUIRE_THROWS_AS(parse_json(std::string(100'000, '[')), BadJson);
}

TEST_CASE("numbers that do not fit are refused") {
  json::value value = to_json(sample_status());
  value.at("daemon").as_object()["pid"] = 1ull << 40;
  REQUIRE_THROWS_WITH(status_from_json(value), "daemon.pid: too large");
  value = to_json(sample_status());
  value.at("groups").at(0).at("workers").at(1).as_object()["next_try_seconds"] = 1e300;
  REQUIRE_THROWS_AS(status_from_json(value), BadJson);
}
