#include <catch2/catch.hpp>
#include <string>

#include "http_stream.hpp"

using namespace appserver::net::http;
using namespace std::string_literals;

namespace {

const std::string kHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

unsigned refusal(const std::string& body, const RequestLimits& limits = {}) {
  return read_whole(kHead + body, limits).status;
}

std::string decoded(const std::string& body) {
  Stream stream;
  stream.feed(kHead + body);
  INFO(body);
  INFO(stream.reading().reason);
  REQUIRE(stream.reading().end == Progress::complete);
  const auto& request = stream.reading().requests.at(0);
  return request.substr(request.find("body<"));
}

}  // namespace

TEST_CASE("a chunked body is joined and its coding removed") {
  CHECK(decoded("0\r\n\r\n") == "body<>");
  CHECK(decoded("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") == "body<hello world>");
  CHECK(decoded("a\r\n0123456789\r\n000\r\n\r\n") == "body<0123456789>");
  CHECK(decoded("A\r\n01234\r\n789\r\n0\r\n\r\n") == "body<01234\r\n789>");
  CHECK(decoded("0000000000000001\r\nx\r\n0\r\n\r\n") == "body<x>");
}

TEST_CASE("a malformed chunk size is refused") {
  for (const auto* body :
       {"\r\n", "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", "1 \r\nx", " 1\r\nx", "1\t\r\nx", "1\nx",
        "1\rx", "1\r\r\n", ";a\r\n", "00000000000000001\r\nx", "10000000000000000\r\n", "1_0\r\n",
        "3 \n  \r\n"}) {
    INFO(body);
    CHECK(refusal(body) == 400);
  }
}

TEST_CASE("a chunk whose data does not end where its size says is refused") {
  CHECK(refusal("1\r\nxy\r\n") == 400);
  CHECK(refusal("2\r\nx\r\n0\r\n") == 400);
  CHECK(refusal("1\r\nx\n0\r\n\r\n") == 400);
  CHECK(refusal("1\r\nx\r0\r\n\r\n") == 400);
  CHECK(refusal("3\r\nfoo\r\n\r\n") == 400);
}

TEST_CASE("well-formed chunk extensions are dropped, others refused") {
  CHECK(decoded("1;a\r\nx\r\n0\r\n\r\n") == "body<x>");
  CHECK(decoded("1;a=b;c=\"d \\\" ;\";e\r\nx\r\n0;f\r\n\r\n") == "body<x>");
  CHECK(decoded("1;a=\"\"\r\nx\r\n0\r\n\r\n") == "body<x>");
  for (const auto* body : {"1;\r\nx", "1; a\r\nx", "1;a;\r\nx", "1;a=\r\nx", "1;a=\"b\r\nx",
                           "1;a=\"b\"c\r\nx", "1;a b\r\nx", "1;a\nx", "1;a=b c\r\nx",
                           "1;a=\"\n\"\r\nx", "1;a=\"\\\r\"\r\nx", "1 erfrferferf\r\nx"}) {
    INFO(body);
    CHECK(refusal(body) == 400);
  }
  CHECK(refusal("1;a=\"\0\"\r\nx"s) == 400);
}

TEST_CASE("chunk extensions are bounded in a line and in a body") {
  CHECK(refusal("1;"s + std::string(4095, 'a') + "\r\nx\r\n0\r\n\r\n") == 0);
  CHECK(refusal("1;"s + std::string(4096, 'a') + "\r\nx\r\n0\r\n\r\n") == 400);
  std::string body;
  for (int i = 0; i < 100; ++i) body += "1;"s + std::string(1000, 'a') + "\r\nx\r\n";
  CHECK(refusal(body + "0\r\n\r\n") == 400);
}

TEST_CASE("trailers are checked, dropped, and never take effect") {
  const auto reading = read_whole(
      kHead +
      "1\r\nx\r\n0\r\nConnection: close\r\nHost: evil\r\nContent-Length: 5\r\nX: y\r\n\r\n"s +
      "GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(reading.requests.size() == 2);
  CHECK(reading.requests[0] ==
        "11 <POST> </> </> <> [Host]=[a] [Transfer-Encoding]=[chunked] keep-alive body<x>");
  for (const auto* trailer :
       {"X : a", "X", ": a", " X: a", "X: a\n", "X: a\r", "X: \x01", "X: a\r\n b"}) {
    INFO(trailer);
    CHECK(refusal("0\r\n"s + trailer + "\r\n\r\n") == 400);
  }
  CHECK(refusal("0\r\n\rX") == 400);
}

TEST_CASE("a trailer that is too large or has too many fields is refused with 431") {
  RequestLimits limits;
  limits.max_head = 1000;
  limits.max_fields = 3;
  // "X: ", CRLF and the empty line are 7 of its bytes.
  CHECK(refusal("0\r\nX: "s + std::string(993, 'x') + "\r\n\r\n", limits) == 0);
  CHECK(refusal("0\r\nX: "s + std::string(994, 'x') + "\r\n\r\n", limits) == 431);
  CHECK(refusal("0\r\nA:\r\nB:\r\nC:\r\n\r\n", limits) == 0);
  CHECK(refusal("0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", limits) == 431);
}

TEST_CASE("a chunked body over the bound is refused as soon as a chunk announces it") {
  RequestLimits limits;
  limits.max_body = 10;
  CHECK(refusal("a\r\n0123456789\r\n0\r\n\r\n", limits) == 0);
  CHECK(refusal("b\r\n", limits) == 413);
  CHECK(refusal("5\r\n01234\r\n6\r\n", limits) == 413);
  CHECK(refusal("5\r\n01234\r\nffffffffffffffff\r\n", limits) == 413);
}

TEST_CASE("many tiny chunks cost no more memory than what they carry") {
  RequestLimits limits;
  ChunkDecoder decoder(limits);
  std::string coded;
  for (int i = 0; i < 100000; ++i) coded += "1\r\nx\r\n";
  coded += "0\r\n\r\n";
  std::string out;
  std::size_t consumed = 0;
  REQUIRE(decoder.decode(coded, consumed, out) == ChunkDecoder::Result::complete);
  CHECK(consumed == coded.size());
  CHECK(out == std::string(100000, 'x'));
  CHECK(out.capacity() <= 2 * out.size());
}
