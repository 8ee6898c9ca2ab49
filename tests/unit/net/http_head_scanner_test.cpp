#include <catch2/catch.hpp>
#include <string>

#include "net/http/head_scanner.hpp"

using namespace appserver::net::http;

using Result = HeadScanner::Result;

TEST_CASE("the end of a head is found once it is there") {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  HeadScanner scanner({});
  CHECK(scanner.scan(head.substr(0, head.size() - 1)) == Result::need_more);
  CHECK(scanner.scan(head + "body\n") == Result::complete);
  CHECK(scanner.head_size() == head.size());
}

TEST_CASE(
    "bytes that were scanned are not looked at again, so that a dripping client costs no more than "
    "another") {
  const std::string start = "GET / HTTP/1.1\r\nX: 1\r\n";
  HeadScanner scanner({});
  REQUIRE(scanner.scan(start + "Y: 12") == Result::need_more);
  // The beginning of the unfinished line is read again, once, when it ends: for the white space of
  // a folded line.
  const std::string spoiled(start.size(), '\n');
  CHECK(scanner.scan(spoiled + "Y\n\n123") == Result::need_more);
  CHECK(scanner.scan(spoiled + "Y\n\n123\r\n\r\n") == Result::complete);

  scanner.reset();
  CHECK(scanner.scan(spoiled) == Result::refused);
  CHECK(scanner.refusal().status == 400);
}

TEST_CASE("a wrong line end is refused when it comes, not when the head is whole") {
  HeadScanner scanner({});
  CHECK(scanner.scan("GET / HTTP/1.1\n") == Result::refused);
  CHECK(scanner.refusal().status == 400);
}
