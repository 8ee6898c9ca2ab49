#include <catch2/catch.hpp>
#include <string>

#include "http_stream.hpp"
#include "net/http/request_reader.hpp"

using namespace appserver::net::http;
using namespace std::string_literals;

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string post(const std::string& body, const std::string& lines = "") {
  return "POST /p HTTP/1.1\r\nHost: a\r\n"s + lines + "Content-Length: "s +
         std::to_string(body.size()) + "\r\n\r\n"s + body;
}

bool inside(std::string_view outer, const appserver_str& part) {
  return part.data >= outer.data() && part.data + part.size <= outer.data() + outer.size();
}

}  // namespace

TEST_CASE("a whole request is given as views into the input") {
  const auto input = post("body") + "next";
  RequestReader reader({});
  std::size_t consumed = 0;
  REQUIRE(reader.read(input, consumed) == Progress::complete);
  CHECK(consumed == input.size() - 4);
  const auto& view = reader.request().view;
  CHECK(view.size == sizeof(appserver_http_request));
  CHECK(view.header_stride == sizeof(appserver_header));
  for (const auto& part : {view.method, view.target, view.path, view.body, view.headers[1].name,
                           view.headers[1].value}) {
    CHECK(inside(input, part));
  }
  CHECK(text_of(view.body) == "body");
  CHECK(reader.body_received() == 4);
}

TEST_CASE("nothing of a head is consumed before it is whole") {
  RequestReader reader({});
  std::size_t consumed = 1;
  for (std::size_t size = 0; size < kGet.size(); ++size) {
    REQUIRE(reader.read(std::string_view(kGet).substr(0, size), consumed) == Progress::need_head);
    REQUIRE(consumed == 0);
  }
  REQUIRE(reader.read(kGet, consumed) == Progress::complete);
  CHECK(consumed == kGet.size());
}

TEST_CASE("a request whose body comes later moves into the reader") {
  RequestReader reader({});
  std::size_t consumed = 0;
  auto first = post("0123456789").substr(0, post("0123456789").size() - 7);
  REQUIRE(reader.read(first, consumed) == Progress::need_body);
  CHECK(consumed == first.size());
  CHECK(reader.body_received() == 3);
  first.assign(first.size(), '#');

  const std::string second = "345678";
  REQUIRE(reader.read(second, consumed) == Progress::need_body);
  CHECK(consumed == 6);
  const std::string third = "9"s + kGet;
  REQUIRE(reader.read(third, consumed) == Progress::complete);
  CHECK(consumed == 1);
  CHECK(describe(reader.request()) ==
        "11 <POST> </p> </p> <> [Host]=[a] [Content-Length]=[10] keep-alive body<0123456789>");

  REQUIRE(reader.read(std::string_view(third).substr(1), consumed) == Progress::complete);
  CHECK(describe(reader.request()) == "11 <GET> </> </> <> [Host]=[a] keep-alive body<>");
}

TEST_CASE("pipelined requests come out in order, each with its own body") {
  const auto reading = read_whole(post("one") + kGet + post("two") + "\r\n"s + kGet);
  REQUIRE(reading.requests.size() == 4);
  CHECK(reading.requests[0].ends_with("body<one>"));
  CHECK(reading.requests[1].ends_with("body<>"));
  CHECK(reading.requests[2].ends_with("body<two>"));
  CHECK(reading.end == Progress::complete);
}

TEST_CASE("a client that expects 100-continue is told once, and only while its body is awaited") {
  const std::string expect = "Expect: 100-continue\r\n";
  const auto bytes = post("body", expect);
  const auto head = bytes.substr(0, bytes.size() - 4);
  RequestReader reader({});
  std::size_t consumed = 0;

  REQUIRE(reader.read(head, consumed) == Progress::need_body);
  CHECK(reader.wants_continue());
  CHECK_FALSE(reader.wants_continue());
  REQUIRE(reader.read("body", consumed) == Progress::complete);
  CHECK_FALSE(reader.wants_continue());
  CHECK(reader.request().expects_continue);

  REQUIRE(reader.read(bytes, consumed) == Progress::complete);
  CHECK_FALSE(reader.wants_continue());

  REQUIRE(reader.read(head + "b", consumed) == Progress::need_body);
  CHECK_FALSE(reader.wants_continue());

  reader.reset();
  REQUIRE(reader.read(post("", expect), consumed) == Progress::complete);
  CHECK_FALSE(reader.wants_continue());

  REQUIRE(reader.read("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
                      consumed) == Progress::need_body);
  CHECK_FALSE(reader.wants_continue());
}

TEST_CASE("a body over the bound is refused as soon as Content-Length says so") {
  RequestLimits limits;
  limits.max_body = 10;
  CHECK(read_whole(post("0123456789"), limits).status == 0);
  const auto reading =
      read_whole("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", limits);
  CHECK(reading.status == 413);
  CHECK(read_whole("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n")
            .status == 413);
}

TEST_CASE("a reader keeps its header array from one request to the next") {
  RequestReader reader({});
  std::size_t consumed = 0;
  REQUIRE(reader.read(post("one"), consumed) == Progress::complete);
  const auto* array = reader.request().view.headers;
  REQUIRE(reader.read(kGet, consumed) == Progress::complete);
  CHECK(reader.request().view.headers == array);
}

TEST_CASE("reset forgets a request half read") {
  RequestReader reader({});
  std::size_t consumed = 0;
  REQUIRE(reader.read("GET /first HTTP/1.1\r\nHo", consumed) == Progress::need_head);
  reader.reset();
  REQUIRE(reader.read(kGet, consumed) == Progress::complete);
  REQUIRE(reader.read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", consumed) ==
          Progress::need_body);
  reader.reset();
  CHECK(reader.body_received() == 0);
  REQUIRE(reader.read(kGet, consumed) == Progress::complete);
  REQUIRE(reader.read("\n", consumed) == Progress::refused);
  reader.reset();
  REQUIRE(reader.read(kGet, consumed) == Progress::complete);
}

TEST_CASE("HEAD is told apart, and its request is like any other") {
  Stream stream;
  stream.feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(stream.reading().end == Progress::complete);
  CHECK(stream.reader().request().head_method);
}
