// However a stream is cut into pieces, the same requests and refusals come out.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "http_stream.hpp"

using namespace appserver::net::http;

namespace {

const std::vector<std::string> kStreams = {
    "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX:  y z \r\nEmpty:\r\n\r\n",
    "\r\n\r\nGET http://h HTTP/1.1\r\nHost: a\r\n\r\n\r\nHEAD http://h?q HTTP/1.1\r\nHost: "
    "a\r\nConnection: close\r\n\r\nrest",
    "POST http://h HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789GET / "
    "HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n5;x=\"y\\\"\"\r\nhello\r\n6\r\n world\r\n0\r\n"
    "Trailer: x\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nG@T / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "G@T / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
    "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nfffffff\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
    "3\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot all of it",
    "GET /cut HTTP/1.1\r\nHost: a\r\nX: ",
    "GET / HTTP/1.1\r\nHost: a\r\nX: "
    "0123456789012345678901234567890123456789012345678901234567890123456789\r\nY: z\r\n\r\n",
    "GET "
    "/012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
    "345 HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n",
};

// Low enough that some of the streams meet each of them.
RequestLimits small_limits() {
  RequestLimits limits;
  limits.max_head = 120;
  limits.max_target = 30;
  limits.max_fields = 5;
  limits.max_body = 50;
  return limits;
}

void require_same(const Reading& pieces, const Reading& whole) {
  REQUIRE(pieces.requests == whole.requests);
  REQUIRE(pieces.end == whole.end);
  REQUIRE(pieces.status == whole.status);
  REQUIRE(pieces.reason == whole.reason);
  REQUIRE(pieces.closed == whole.closed);
}

}  // namespace

TEST_CASE("a stream in two parts reads like the whole one, wherever it is cut") {
  for (const auto& limits : {RequestLimits{}, small_limits()}) {
    for (const auto& stream : kStreams) {
      const auto whole = read_whole(stream, limits);
      for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        INFO(stream << " cut at " << cut);
        require_same(read_in_pieces(stream, {cut}, limits), whole);
      }
    }
  }
}

TEST_CASE("a stream byte by byte reads like the whole one") {
  for (const auto& limits : {RequestLimits{}, small_limits()}) {
    for (const auto& stream : kStreams) {
      std::vector<std::size_t> cuts;
      for (std::size_t cut = 1; cut < stream.size(); ++cut) cuts.push_back(cut);
      INFO(stream);
      require_same(read_in_pieces(stream, cuts, limits), read_whole(stream, limits));
    }
  }
}

TEST_CASE("the streams of this file meet every end that reading can have") {
  std::vector<unsigned> statuses;
  std::vector<Progress> ends;
  for (const auto& limits : {RequestLimits{}, small_limits()}) {
    for (const auto& stream : kStreams) {
      const auto reading = read_whole(stream, limits);
      statuses.push_back(reading.status);
      ends.push_back(reading.end);
    }
  }
  for (const auto status : {400u, 413u, 414u, 431u, 505u}) {
    CHECK(std::count(statuses.begin(), statuses.end(), status) > 0);
  }
  for (const auto end :
       {Progress::need_head, Progress::need_body, Progress::complete, Progress::refused}) {
    CHECK(std::count(ends.begin(), ends.end(), end) > 0);
  }
}
