// Server-sent events, byte by byte.
#include <appserver/events.hpp>
#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <string>

#include "scripted.hpp"

using namespace appserver;

namespace {

std::string sent(const Event& event) { return detail::format_event(event); }

}  // namespace

TEST_CASE("an event has its fields, and a line for each line of its data") {
  REQUIRE(sent({.data = "hello"}) == "data: hello\n\n");
  REQUIRE(sent({.event = "tick", .id = "7", .data = "x", .retry = std::chrono::seconds(2)}) ==
          "event: tick\nid: 7\nretry: 2000\ndata: x\n\n");
  REQUIRE(sent({.data = "a\nb\rc\r\nd"}) == "data: a\ndata: b\ndata: c\ndata: d\n\n");
  REQUIRE(sent({.data = "a\n"}) == "data: a\ndata: \n\n");
  REQUIRE(sent({.data = "a\n\nid: 1"}) == "data: a\ndata: \ndata: id: 1\n\n");
  REQUIRE(sent({}) == "data: \n\n");
}

TEST_CASE("a type or an id that would be more than its line is refused") {
  for (const char* text : {"a\nb", "a\r", "\n"}) {
    CAPTURE(text);
    REQUIRE_THROWS_AS(sent({.event = text}), std::invalid_argument);
    REQUIRE_THROWS_AS(sent({.id = text}), std::invalid_argument);
  }
  REQUIRE_THROWS_AS(sent({.id = std::string_view("a\0b", 3)}), std::invalid_argument);
}

TEST_CASE_METHOD(fake::Scripted,
                 "events go out as they are sent, and the answer ends with the stream") {
  EventStream events;
  std::string last = "?";
  on_request([&](Request& request, Response& response) {
    last = last_event_id(request);
    events = EventStream(response);
  });
  const auto id = plugin.request({.headers = {{"Last-Event-ID", "41"}}});
  REQUIRE(last == "41");
  REQUIRE(events.send({.id = "42", .data = "x"}) == Write::kTaken);
  REQUIRE(events.comment() == Write::kTaken);
  REQUIRE(events.comment("a\nb") == Write::kTaken);
  REQUIRE(events.alive());
  const auto got = host.answer(id);
  REQUIRE(got.state == fake::State::kStreaming);
  REQUIRE(got.body == "id: 42\ndata: x\n\n: \n\n: a\n: b\n\n");
  REQUIRE(got.header("Content-Type") == "text/event-stream");
  REQUIRE(got.header("Cache-Control") == "no-cache");

  plugin.request({});  // takes the place of the first
  REQUIRE(last.empty());
  REQUIRE(host.answer(id).state == fake::State::kAnswered);
  REQUIRE(host.answer(id + 1).state == fake::State::kStreaming);
  events.close();
  REQUIRE_FALSE(events.alive());
  REQUIRE(host.answer(id + 1).state == fake::State::kAnswered);
  REQUIRE(events.send({.data = "x"}) == Write::kGone);
}

TEST_CASE_METHOD(fake::Scripted, "a client of events that reads slowly or leaves is felt") {
  EventStream events;
  on_request([&](Request&, Response& response) { events = EventStream(response); });
  host.set_write_bound(3);
  const auto id = plugin.request({});
  REQUIRE(events.send({.data = "x"}) == Write::kTaken);
  REQUIRE(events.comment() == Write::kFull);
  host.read(id);
  REQUIRE(events.comment() == Write::kTaken);
  host.disconnect(id);
  REQUIRE(events.comment() == Write::kGone);
}

TEST_CASE_METHOD(fake::Scripted, "the clients of one kind of events get each, until it is closed") {
  EventStreams streams;
  on_request([&](Request&, Response& response) { streams.add(EventStream(response)); });
  const auto first = plugin.request({});
  const auto second = plugin.request({});
  streams.send({.data = "x"});
  streams.comment();
  REQUIRE(host.answer(first).body == "data: x\n\n: \n\n");
  REQUIRE(host.answer(second).body == "data: x\n\n: \n\n");
  host.disconnect(first);
  streams.send({.data = "y"});
  REQUIRE(streams.size() == 1);
  streams.close();
  REQUIRE(host.answer(second).state == fake::State::kAnswered);
  REQUIRE(host.answer(second).body == "data: x\n\n: \n\ndata: y\n\n");
  const auto late = plugin.request({});
  REQUIRE(host.answer(late).state == fake::State::kAnswered);
  REQUIRE(host.answer(late).header("Content-Type") == "text/event-stream");
  REQUIRE(streams.size() == 0);
}
