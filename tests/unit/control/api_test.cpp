#include "control/api.hpp"

#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <limits>

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
  REQUIRE(ready.at("uptime_seconds").as_int64() == 74 * 3600);
  REQUIRE(group.at("workers").at(1).at("next_try_seconds").as_double() == Approx(8.5));
  REQUIRE(value.at("groups").at(1).at("build").is_null());
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
  event.elapsed = std::chrono::milliseconds(310);
  REQUIRE(event_from_json(through_text(to_json(event))) == event);
  REQUIRE(json::serialize(to_json(RolloutEvent{.text = "hi"})) ==
          R"({"event":"message","elapsed_ms":0,"text":"hi"})");
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
