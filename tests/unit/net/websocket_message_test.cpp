#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/websocket/message_reader.hpp"
#include "websocket_client.hpp"

using namespace appserver::net::websocket;
using namespace appserver::test;
using Kind = Event::Kind;

namespace {

constexpr std::size_t kMax = 1000;

struct Seen {
  Kind kind;
  std::string text;
  bool is_text;
  std::uint16_t code;
};

// All events of the data up to the first failure; `step` bytes come at a time.
std::vector<Seen> events_of(std::string data, std::size_t step = std::string::npos,
                            bool deflate = false) {
  Deflate shared;
  MessageReader reader(kMax, deflate ? &shared : nullptr);
  std::vector<Seen> seen;
  std::string input;
  while (!data.empty()) {
    input += data.substr(0, step);
    data.erase(0, std::min(step, data.size()));
    for (;;) {
      const Event event = reader.next(input);
      if (event.kind == Kind::incomplete) break;
      seen.push_back({event.kind, std::string(event.text), event.is_text, event.code});
      if (event.kind == Kind::failed) return seen;
      reader.forget();
      input.erase(0, event.size);
    }
  }
  return seen;
}

std::string deflated(std::string_view message) {
  Deflate deflate;
  return std::string(deflate.compress(message));
}

}  // namespace

TEST_CASE("messages, pings and a close come in order, however the bytes are cut") {
  const std::string data =
      client_frame(Opcode::text, "h\xc3\xa9llo") + client_frame(Opcode::ping, "p") +
      client_frame(Opcode::binary, std::string("\0\xff", 2)) + client_frame(Opcode::pong, "") +
      client_frame(Opcode::text, "") + client_frame(Opcode::close, close_payload(1001, "bye"));
  for (const std::size_t step : {1U, 2U, 3U, 7U, 1000U}) {
    const auto seen = events_of(data, step);
    REQUIRE(seen.size() == 6);
    CHECK(seen[0].text == "h\xc3\xa9llo");
    CHECK(seen[0].is_text);
    CHECK(seen[1].kind == Kind::ping);
    CHECK(seen[1].text == "p");
    CHECK_FALSE(seen[2].is_text);
    CHECK(seen[2].text == std::string("\0\xff", 2));
    CHECK(seen[3].kind == Kind::pong);
    CHECK(seen[4].kind == Kind::message);
    CHECK(seen[5].kind == Kind::close);
    CHECK(seen[5].code == 1001);
    CHECK(seen[5].text == "bye");
  }
}

TEST_CASE("fragments are one message, with control frames between them") {
  const std::string data = client_frame(Opcode::text, "ab\xc3", false) +
                           client_frame(Opcode::ping, "now") +
                           client_frame(Opcode::continuation, "", false) +
                           client_frame(Opcode::continuation,
                                        "\xa9"
                                        "c");
  const auto seen = events_of(data);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].kind == Kind::fragment);
  CHECK(seen[1].kind == Kind::ping);
  CHECK(seen[3].kind == Kind::message);
  CHECK(seen[3].text ==
        "ab\xc3\xa9"
        "c");
}

TEST_CASE("the place between two messages is known") {
  MessageReader reader(kMax, nullptr);
  CHECK(reader.at_boundary());
  std::string first = client_frame(Opcode::text, "a", false);
  reader.next(first);
  CHECK_FALSE(reader.at_boundary());
  std::string last = client_frame(Opcode::continuation, "b");
  reader.next(last);
  CHECK(reader.at_boundary());
}

TEST_CASE("what is against the protocol fails with its close code") {
  struct Case {
    std::string data;
    std::uint16_t code;
  };
  const std::vector<Case> cases = {
      {client_frame(Opcode::continuation, "x"), kProtocolError},
      {client_frame(Opcode::text, "a", false) + client_frame(Opcode::text, "b"), kProtocolError},
      {client_frame(Opcode::text, "x", true, true), kProtocolError},
      {client_frame(Opcode::text, "\xff"), kInvalidPayload},
      {client_frame(Opcode::text, "\xc3"), kInvalidPayload},
      {client_frame(Opcode::text, "\xed\xa0\x80"), kInvalidPayload},
      {client_frame(Opcode::text, "\xf4\x90\x80\x80"), kInvalidPayload},
      {client_frame(Opcode::text, "ok\xc3", false) + client_frame(Opcode::continuation, "x"),
       kInvalidPayload},
      {client_frame(Opcode::binary, std::string(kMax + 1, 'x')), kTooBig},
      {client_frame(Opcode::close, "x"), kProtocolError},
      {client_frame(Opcode::close, close_payload(999)), kProtocolError},
      {client_frame(Opcode::close, close_payload(1004)), kProtocolError},
      {client_frame(Opcode::close, close_payload(1005)), kProtocolError},
      {client_frame(Opcode::close, close_payload(1006)), kProtocolError},
      {client_frame(Opcode::close, close_payload(1015)), kProtocolError},
      {client_frame(Opcode::close, close_payload(2999)), kProtocolError},
      {client_frame(Opcode::close, close_payload(5000)), kProtocolError},
      {client_frame(Opcode::close, close_payload(1000, "\xff")), kInvalidPayload},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    INFO("case " << i);
    const auto seen = events_of(cases[i].data);
    REQUIRE_FALSE(seen.empty());
    CHECK(seen.back().kind == Kind::failed);
    CHECK(seen.back().code == cases[i].code);
  }
}

TEST_CASE("a message over the limit fails before it is there, in one frame or in many") {
  std::string huge = client_frame(Opcode::binary, std::string(100'000, 'x')).substr(0, 14);
  MessageReader reader(kMax, nullptr);
  CHECK(reader.next(huge).code == kTooBig);
  std::string many = client_frame(Opcode::binary, std::string(600, 'x'), false);
  MessageReader other(kMax, nullptr);
  CHECK(other.next(many).kind == Kind::fragment);
  std::string more = client_frame(Opcode::continuation, std::string(401, 'x')).substr(0, 8);
  CHECK(other.next(more).code == kTooBig);
}

TEST_CASE("every close code that may be sent is taken, and none at all, too") {
  for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1011U, 3000U, 3999U, 4000U, 4999U})
    CHECK(events_of(client_frame(Opcode::close, close_payload(code)))[0].code == code);
  CHECK(events_of(client_frame(Opcode::close, ""))[0].code == kNoStatus);
}

TEST_CASE("a compressed message is inflated, also from fragments, and each by itself") {
  const std::string text = "hello hello hello hello";
  const std::string payload = deflated(text);
  CHECK(payload.size() < text.size());
  const std::string data = client_frame(Opcode::text, payload, true, true) +
                           client_frame(Opcode::text, payload.substr(0, 3), false, true) +
                           client_frame(Opcode::continuation, payload.substr(3)) +
                           client_frame(Opcode::text, "plain");
  const auto seen = events_of(data, 5, true);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].text == text);
  CHECK(seen[2].text == text);
  CHECK(seen[3].text == "plain");
}

TEST_CASE("a compressed message of nothing, and one in blocks that say they are the last") {
  CHECK(events_of(client_frame(Opcode::text, std::string("\0", 1), true, true), 99, true)[0].text ==
        "");
  // RFC 7692, 7.2.3.5: "Hello" with BFINAL.
  const std::string last("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
  CHECK(events_of(client_frame(Opcode::text, last, true, true), 99, true)[0].text == "Hello");
}

TEST_CASE("a small payload that would become a large message is stopped at the limit") {
  Deflate deflate;
  const std::string bomb(deflate.compress(std::string(10'000'000, 'x')));
  REQUIRE(bomb.size() < 20'000);
  MessageReader reader(100'000, &deflate);
  std::string frame = client_frame(Opcode::binary, bomb, true, true);
  CHECK(reader.next(frame).code == kTooBig);
}

TEST_CASE("a message is inflated a piece at a time, from one frame or more, and comes whole") {
  Deflate deflate;
  std::string message;
  while (message.size() < 300'000) message += "h\xc3\xa9llo " + std::to_string(message.size());
  const std::string packed(deflate.compress(message));
  std::string frame;
  SECTION("of one frame") { frame = client_frame(Opcode::text, packed, true, true); }
  SECTION("of two frames") {
    frame = client_frame(Opcode::text, packed.substr(0, 1'000), false, true) +
            client_frame(Opcode::continuation, packed.substr(1'000));
  }
  MessageReader reader(400'000, &deflate);
  std::span<char> data(frame);
  Event event = reader.next(data, 10'000);
  if (event.kind == Kind::fragment) {
    data = data.subspan(event.size);
    event = reader.next(data, 10'000);
  }
  CHECK(event.size == data.size());
  // Nobody holds what was taken.
  frame.assign(frame.size(), '!');
  int pieces = 1;
  for (; event.kind == Kind::unfinished; ++pieces) {
    CHECK(reader.is_inflating());
    CHECK_FALSE(reader.at_boundary());
    event = reader.go_on(10'000);
  }
  CHECK(pieces > 300'000 / 30'000);
  REQUIRE(event.kind == Kind::message);
  CHECK((event.text == message));
  CHECK(reader.at_boundary());
}

TEST_CASE("a later piece of a message may still be over the limit, or no text") {
  Deflate deflate;
  const auto last = [&](const std::string& message) {
    MessageReader reader(100'000, &deflate);
    std::string frame = client_frame(Opcode::text, deflate.compress(message), true, true);
    Event event = reader.next(frame, 20'000);
    REQUIRE(event.kind == Kind::unfinished);
    while (event.kind == Kind::unfinished) event = reader.go_on(20'000);
    CHECK_FALSE(reader.is_inflating());
    return event.code;
  };
  CHECK(last(std::string(100'001, 'x')) == kTooBig);
  CHECK(last(std::string(90'000, 'x') + "\xff") == kInvalidPayload);
  CHECK(last(std::string(90'000, 'x') + "\xc3") == kInvalidPayload);
  CHECK(last(std::string(100'000, 'x')) == 0);
}

TEST_CASE("what cannot be inflated, or inflates to no text, fails as a payload") {
  CHECK(events_of(client_frame(Opcode::text, "\xff\xff\xff", true, true), 99, true)[0].code ==
        kInvalidPayload);
  CHECK(events_of(client_frame(Opcode::text, deflated("\xff"), true, true), 99, true)[0].code ==
        kInvalidPayload);
}

TEST_CASE("every message survives compression, of any size and content") {
  Deflate deflate;
  std::string message;
  for (std::size_t size : {0U, 1U, 100U, 5'000U, 70'000U, 1'000'000U}) {
    message.resize(size);
    unsigned state = 1;
    for (char& byte : message)
      byte = static_cast<char>((state = state * 1103515245 + 12345) >> 16U);
    const std::string payload(deflate.compress(message));
    std::string back;
    REQUIRE(deflate.decompress(payload, size, back) == Deflate::Result::whole);
    CHECK((back == message));
  }
}

TEST_CASE("what can become no text is refused before its frame is whole") {
  MessageReader reader(kMax, nullptr);
  const std::string good = "\xce\xba\xe1\xbd\xb9";
  std::string frame = client_frame(Opcode::text, good + "\xf4\x90" + std::string(5, 'x'));
  for (std::size_t size = 1; size <= 6 + good.size() + 1; ++size) {
    std::string part = frame.substr(0, size);
    REQUIRE(reader.next(part).kind == Kind::incomplete);
  }
  std::string part = frame.substr(0, 6 + good.size() + 2);
  const Event event = reader.next(part);
  CHECK(event.kind == Kind::failed);
  CHECK(event.code == kInvalidPayload);
}
