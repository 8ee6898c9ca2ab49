#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/websocket/frame.hpp"
#include "websocket_client.hpp"

using namespace appserver::net::websocket;
using namespace appserver::test;

namespace {

HeadResult result_of(std::string_view data) {
  FrameHead head;
  std::size_t size = 0;
  return parse_head(data, head, size);
}

std::string bytes(std::initializer_list<int> values) {
  std::string result;
  for (const int value : values) result.push_back(static_cast<char>(value));
  return result;
}

}  // namespace

TEST_CASE("a client's frame is read with each form of length, and not before it is all there") {
  for (const std::size_t length : {0U, 1U, 125U, 126U, 65'535U, 65'536U, 100'000U}) {
    const std::string frame = client_frame(Opcode::binary, std::string(length, 'x'));
    FrameHead head;
    std::size_t size = 0;
    REQUIRE(parse_head(frame, head, size) == HeadResult::whole);
    CHECK(head.length == length);
    CHECK(size == frame.size() - length);
    CHECK(head.opcode == Opcode::binary);
    CHECK(head.fin);
    for (std::size_t i = 0; i < size; ++i)
      CHECK(result_of(std::string_view(frame).substr(0, i)) == HeadResult::incomplete);
    std::string payload = frame.substr(size);
    unmask(payload, head.mask);
    CHECK(payload == std::string(length, 'x'));
  }
}

TEST_CASE("what is no frame of a client is malformed as soon as that can be told") {
  CHECK(result_of(bytes({0xa1})) == HeadResult::malformed);        // RSV2
  CHECK(result_of(bytes({0x91})) == HeadResult::malformed);        // RSV3
  CHECK(result_of(bytes({0x83})) == HeadResult::malformed);        // opcode 3
  CHECK(result_of(bytes({0x8b})) == HeadResult::malformed);        // opcode 11
  CHECK(result_of(bytes({0x09})) == HeadResult::malformed);        // a ping in pieces
  CHECK(result_of(bytes({0xc9})) == HeadResult::malformed);        // a compressed ping
  CHECK(result_of(bytes({0x82, 0x01})) == HeadResult::malformed);  // no mask
  CHECK(result_of(bytes({0x89, 0xfe})) == HeadResult::malformed);  // a long ping
  CHECK(result_of(bytes({0x82, 0xfe, 0, 125})) == HeadResult::malformed);
  CHECK(result_of(bytes({0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff})) == HeadResult::malformed);
  CHECK(result_of(bytes({0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0})) == HeadResult::malformed);
}

TEST_CASE("a mask is taken off whatever the length and the alignment") {
  const std::array<unsigned char, 4> mask{1, 2, 3, 4};
  for (std::size_t size = 0; size < 40; ++size) {
    for (std::size_t offset = 0; offset < 8; ++offset) {
      std::string data(offset + size, '\0');
      unmask(std::span(data).subspan(offset), mask);
      for (std::size_t i = 0; i < size; ++i)
        REQUIRE(data[offset + i] == static_cast<char>(mask[i % 4]));
    }
  }
}

TEST_CASE("a server's frames have no mask and the shortest length") {
  for (const std::size_t length : {0U, 125U, 126U, 65'535U, 65'536U}) {
    std::string out;
    append_frame(out, Opcode::text, std::string(length, 'x'));
    CHECK(out.size() == length + (length < 126 ? 2 : length <= 65'535 ? 4 : 10));
    CHECK(out.substr(0, 1) == "\x81");
  }
  std::string out;
  append_frame(out, Opcode::binary, "x", true);
  CHECK(out == bytes({0xc2, 0x01, 'x'}));
}
