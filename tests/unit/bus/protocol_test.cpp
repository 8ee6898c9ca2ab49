#include "bus/protocol.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using namespace appserver::bus;

namespace {

Header header_of(Kind kind, std::uint8_t detail = 0) {
  Header header;
  header.kind = kind;
  header.detail = detail;
  return header;
}

}  // namespace

TEST_CASE("a request is read as it was written") {
  Header header = header_of(Kind::set, static_cast<std::uint8_t>(Condition::version));
  header.id = 7;
  header.number = 8;
  header.version = 9;
  const std::string packet = encode(header, "key", "value");
  const auto message = decode_request(packet);
  REQUIRE(message);
  CHECK(message->header.id == 7);
  CHECK(message->header.number == 8);
  CHECK(message->header.version == 9);
  CHECK(message->name == "key");
  CHECK(message->value == "value");
  CHECK(decode_request(encode(header, std::string(kMaxName, 'n'), std::string(kMaxValue, 'v'))));
}

TEST_CASE("what is no request is refused") {
  CHECK_FALSE(decode_request(""));
  CHECK_FALSE(decode_request(std::string(sizeof(Header) - 1, '\1')));
  CHECK_FALSE(decode_request(encode(header_of(Kind{0}), "n", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind{8}), "n", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::deliver), "n", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::get), "", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::get), "n", "v")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::get, 1), "n", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::set, 3), "n", "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::get), std::string(kMaxName + 1, 'n'), "")));
  CHECK_FALSE(decode_request(encode(header_of(Kind::set), "n", std::string(kMaxValue + 1, 'v'))));
  std::string name_beyond = encode(header_of(Kind::get), "n", "");
  const std::uint16_t two = 2;
  std::memcpy(name_beyond.data() + offsetof(Header, name_size), &two, sizeof(two));
  CHECK_FALSE(decode_request(name_beyond));
}

TEST_CASE("what is no reply is refused") {
  CHECK(decode_reply(encode(header_of(Kind::deliver), "topic", "")));
  CHECK(decode_reply(encode(header_of(Kind::result, 4), "", "value")));
  CHECK_FALSE(decode_reply(encode(header_of(Kind::deliver), "", "text")));
  CHECK_FALSE(decode_reply(encode(header_of(Kind::deliver, 1), "topic", "")));
  CHECK_FALSE(decode_reply(encode(header_of(Kind::result, 5), "", "")));
  CHECK_FALSE(decode_reply(encode(header_of(Kind::result), "name", "")));
  CHECK_FALSE(decode_reply(encode(header_of(Kind::get), "name", "")));
}
