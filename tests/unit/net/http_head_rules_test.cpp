#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "http_stream.hpp"

using namespace appserver::net::http;
using namespace std::string_literals;

namespace {

// The status of the refusal, 0 if there was none.
unsigned refusal(const std::string& bytes, const RequestLimits& limits = {}) {
  return read_whole(bytes, limits).status;
}

std::string with_line(const std::string& line) {
  return "GET /path HTTP/1.1\r\nHost: a\r\n"s + line + "\r\n\r\n";
}

std::string with_target(const std::string& target, const std::string& method = "GET") {
  return method + " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

std::string with_host(const std::string& host) {
  return "GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n";
}

void require_one_request(const std::string& bytes) {
  INFO(bytes);
  const auto reading = read_whole(bytes);
  INFO(reading.reason);
  REQUIRE(reading.end == Progress::complete);
  REQUIRE(reading.requests.size() == 1);
}

}  // namespace

TEST_CASE("a line that does not end in CRLF is refused") {
  CHECK(refusal("GET / HTTP/1.1\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET / HTTP/1.1\r\nHost: a\n\r\n") == 400);
  CHECK(refusal("GET / HTTP/1.1\r\nHost: a\r\n\n") == 400);
  CHECK(refusal("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal(with_line("X: a\rY: b")) == 400);
  CHECK(refusal(with_line("X: a\r")) == 400);
  CHECK(refusal("GET / HTTP/1.1\rHost: a\r\n\r\n") == 400);
  CHECK(refusal("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
}

TEST_CASE("control bytes in a header are refused, a tab and bytes above ASCII in a value are not") {
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    INFO("byte " << byte);
    const bool control = (byte < 0x20 && c != '\t') || byte == 0x7f;
    CHECK(refusal(with_line("X: a"s + c + "b")) == (control ? 400u : 0u));
  }
  CHECK(refusal(with_line("X\0Y: a"s)) == 400);
}

TEST_CASE("a header name must be a token") {
  CHECK(refusal(with_line(": a")) == 400);
  CHECK(refusal(with_line("X : a")) == 400);
  CHECK(refusal(with_line("X\t: a")) == 400);
  CHECK(refusal(with_line("X Y: a")) == 400);
  CHECK(refusal(with_line("X@Y: a")) == 400);
  CHECK(refusal(with_line("\xc3\xbc: a")) == 400);
  CHECK(refusal(with_line("no colon")) == 400);
  require_one_request(with_line("!#$%&'*+-.^_`|~09azAZ: a"));
}

TEST_CASE("a folded header line is refused") {
  CHECK(refusal(with_line("X: a\r\n b")) == 400);
  CHECK(refusal(with_line("X: a\r\n\tb")) == 400);
  CHECK(refusal(with_line("X:\r\n b")) == 400);
  CHECK(refusal("GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal(with_line("X: a\r\n ")) == 400);
}

TEST_CASE(
    "names that differ in '_' and '-' stay apart, and values lose only the white space around "
    "them") {
  const auto reading = read_whole(with_line("X_Y: 1\r\nX-Y:\t 2 3 \t\r\nEmpty:\r\nBlank:  "));
  REQUIRE(reading.requests.size() == 1);
  CHECK(reading.requests[0] ==
        "11 <GET> </path> </path> <> [Host]=[a] [X_Y]=[1] [X-Y]=[2 3] [Empty]=[] [Blank]=[] "
        "keep-alive body<>");
}

TEST_CASE("HTTP/1.1 needs exactly one Host, HTTP/1.0 at most one") {
  CHECK(refusal("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n") == 400);
  CHECK(refusal("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") == 400);
  require_one_request("GET / HTTP/1.0\r\n\r\n");
  require_one_request("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
}

TEST_CASE("Host must be a host with an optional port") {
  for (const auto* host : {"a", "example.com", "example.com:80", "127.0.0.1:8080", "[::1]",
                           "[2001:db8::1]:443", "a:", "0.0.0.0=5000", "a_b", "%41b", "a,b"}) {
    INFO(host);
    CHECK(refusal(with_host(host)) == 0);
  }
  for (const auto* host :
       {"",       "a b",  "a/b",  "a@b",    "http://a", "a:b",       "a:65536",  "a:1:2",
        ":80",    "[::1", "::1",  "[::1]x", "[::1]:x",  "[1.2.3.4]", "[]",       "[fe80::1%eth0]",
        "[v1.x]", "a%4",  "a%zz", "a?b",    "a#b",      "a\\b",      "\xc3\xbc", "a,b c",
        "\"a\"",  "a\tb", "a:+80"}) {
    INFO(host);
    CHECK(refusal(with_host(host)) == 400);
  }
}

TEST_CASE("a request target has one of the forms that an origin server knows") {
  for (const auto* target : {"/", "/a?b=c?d", "//a", "/%00%zz", "/\"|\\^`{}", "http://h",
                             "HTTP://h:80/p?q", "https://h/", "http://[::1]/", "http://h?q"}) {
    INFO(target);
    CHECK(refusal(with_target(target)) == 0);
  }
  for (const auto* target :
       {"!",       "foo/bar",   "*",           "a:443",         "?q",          "http:/h",
        "http://", "http:///p", "http://u@h/", "http://u:p@h/", "http://h:x/", "ftp://h/",
        "/a#b",    "/a\x7f",    "/a\x01",      "/\xc3\xbc",     "/a\tb",       "/a b",
        "",        "*/a"}) {
    INFO(target);
    CHECK(refusal(with_target(target)) == 400);
  }
  CHECK(refusal(with_target("/\0"s)) == 400);
}

TEST_CASE("'*' is for OPTIONS only, and CONNECT is not implemented") {
  CHECK(refusal(with_target("*", "OPTIONS")) == 0);
  CHECK(refusal(with_target("*", "M-SEARCH")) == 400);
  CHECK(refusal(with_target("*", "options")) == 400);
  CHECK(refusal(with_target("a:443", "CONNECT")) == 501);
  CHECK(refusal(with_target("/", "CONNECT")) == 501);
}

TEST_CASE("a target is split into path and query") {
  const auto split = [](const std::string& target, const std::string& method = "GET") {
    const auto reading = read_whole(with_target(target, method));
    REQUIRE(reading.requests.size() == 1);
    return reading.requests[0].substr(0, reading.requests[0].find(" [Host]"));
  };
  CHECK(split("/a%20b?c=d?e") == "11 <GET> </a%20b?c=d?e> </a%20b> <c=d?e>");
  CHECK(split("/a?") == "11 <GET> </a?> </a> <>");
  CHECK(split("http://h:1/p?q") == "11 <GET> <http://h:1/p?q> </p> <q>");
  CHECK(split("http://h") == "11 <GET> <http://h> </> <>");
  CHECK(split("http://h?q=/") == "11 <GET> <http://h?q=/> </> <q=/>");
  CHECK(split("*", "OPTIONS") == "11 <OPTIONS> <*> <*> <>");
}

TEST_CASE("the host of an absolute target counts, whatever Host says") {
  const auto request = [](const std::string& target, const std::string& host) {
    const auto reading = read_whole("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    return reading.requests.empty() ? "refused" : reading.requests.front();
  };
  const std::string found = request("http://shop:81/p", "admin");
  INFO(found);
  CHECK(found.find("[Host]=[shop:81]") != std::string::npos);
  CHECK(found.find("admin") == std::string::npos);
  CHECK(request("/p", "admin").find("[Host]=[admin]") != std::string::npos);
  CHECK(request("http://shop/", "a b") == "refused");
}

TEST_CASE("any token of up to 32 bytes is a method, case matters") {
  require_one_request(with_target("/", "get"));
  require_one_request(with_target("/", "X-Odd!Method"));
  require_one_request(with_target("/", std::string(32, 'M')));
  CHECK(refusal(with_target("/", std::string(33, 'M'))) == 501);
  CHECK(refusal(with_target("/", "G@T")) == 400);
  CHECK(refusal(with_target("/", "G\xc3T")) == 400);
  CHECK(refusal(with_target("/", "")) == 400);
  CHECK(refusal(" GET / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(read_whole(with_target("/", "head")).requests.at(0).find(" head") == std::string::npos);
}

TEST_CASE("only HTTP/1.0 and HTTP/1.1 are spoken") {
  CHECK(refusal("GET / HTTP/1.2\r\nHost: a\r\n\r\n") == 505);
  CHECK(refusal("GET / HTTP/0.9\r\nHost: a\r\n\r\n") == 505);
  CHECK(refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
  CHECK(refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505);
  for (const auto* version : {"http/1.1", "HTTP/1", "HTTP/11", "HTTP/1.11", "HTTP/1.1 ",
                              "HTTP/ 1.1", "ICE/1.0", "H", "", "HTTP/1.a", "HTTP/a.1"}) {
    INFO(version);
    CHECK(refusal("GET / "s + version + "\r\nHost: a\r\n\r\n") == 400);
  }
  CHECK(refusal("GET /\r\nHost: a\r\n\r\n") == 400);
  CHECK(refusal("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
}

TEST_CASE("Content-Length is one number of digits only") {
  for (const auto* value :
       {"5, 5", "5,5", "+5", "-1", "0x3", "1_0", "5.0", "5 5", "", " ", "18446744073709551616",
        "99999999999999999999", "5,", ",5", "\xd9\xa5", "5;"}) {
    INFO(value);
    CHECK(refusal(with_line("Content-Length: "s + value) + "12345") == 400);
  }
  CHECK(refusal(with_line("Content-Length: 5\r\nContent-Length: 5") + "12345") == 400);
  CHECK(refusal(with_line("Content-Length: 5\r\ncontent-length: 6") + "12345") == 400);
  require_one_request(with_line("Content-Length: 005") + "12345");
  require_one_request(with_line("Content-Length: 0"));
}

TEST_CASE("Transfer-Encoding is exactly chunked, in HTTP/1.1, without Content-Length") {
  const std::string body = "0\r\n\r\n";
  require_one_request(with_line("Transfer-Encoding: chunked") + body);
  require_one_request(with_line("Transfer-Encoding: CHUNKED ") + body);
  for (const auto* value :
       {"xchunked", "chunked, identity", "pigeons", "identity",
        "\xa0"
        "chunked",
        "chunked, chunked", "chunked,", ",chunked", "", "chunked;q=1", "chunke", "\"chunked\"",
        "chunked gzip", "gzip;level=1, chunked", "x y, chunked"}) {
    INFO(value);
    CHECK(refusal(with_line("Transfer-Encoding: "s + value) + body) == 400);
  }
  CHECK(refusal(with_line("Transfer-Encoding: gzip, chunked") + body) == 501);
  CHECK(refusal(with_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + body) ==
        400);
  CHECK(refusal(with_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity") + body) ==
        400);
  CHECK(refusal(with_line("Transfer-Encoding: chunked\r\nContent-Length: 5") + body) == 400);
  CHECK(refusal(with_line("Content-Length: 5\r\nTransfer-Encoding: chunked") + body) == 400);
  CHECK(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"s + body) == 400);
}

TEST_CASE("nothing behind a refused request is run") {
  const auto reading =
      read_whole(with_line("Transfer-Encoding: xchunked") + with_target("/smuggled"));
  CHECK(reading.status == 400);
  CHECK(reading.requests.empty());

  Stream stream;
  stream.feed(with_line("Transfer-Encoding: xchunked"));
  std::size_t consumed = 1;
  CHECK(stream.reader().read(with_target("/smuggled"), consumed) == Progress::refused);
  CHECK(consumed == 0);
}

TEST_CASE("an expectation other than 100-continue is refused") {
  CHECK(refusal(with_line("Expect: 200-ok")) == 417);
  CHECK(refusal(with_line("Expect: 100-continue, x")) == 417);
  CHECK(refusal(with_line("Expect: 100-Continue")) == 0);
}

TEST_CASE("the Connection header decides about keep-alive in both versions") {
  const auto keeps = [](const std::string& version, const std::string& lines) {
    Stream stream;
    stream.feed("GET / HTTP/"s + version + "\r\nHost: a\r\n" + lines + "\r\n");
    REQUIRE(stream.reading().end == Progress::complete);
    return stream.reader().request().keep_alive;
  };
  CHECK(keeps("1.1", ""));
  CHECK(keeps("1.1", "Connection: keep-alive\r\n"));
  CHECK(keeps("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
  CHECK_FALSE(keeps("1.1", "Connection: close\r\n"));
  CHECK_FALSE(keeps("1.1", "connection: foo ,\tCLOSE\r\n"));
  CHECK_FALSE(keeps("1.1", "Connection: foo\r\nConnection: Close\r\n"));
  CHECK(keeps("1.1", "Connection: closed\r\n"));
  CHECK_FALSE(keeps("1.0", ""));
  CHECK(keeps("1.0", "Connection: Keep-Alive\r\n"));
  CHECK(keeps("1.0", "Connection: foo, keep-alive\r\n"));
  CHECK_FALSE(keeps("1.0", "Connection: keep-alive, close\r\n"));
  CHECK_FALSE(keeps("1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
}

TEST_CASE("a request head that is too large is refused with 431, at the byte that is too many") {
  RequestLimits limits;
  limits.max_head = 1024;
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto sized = [&](std::size_t size) {
    return start + std::string(size - start.size() - 4, 'x') + "\r\n\r\n";
  };
  CHECK(refusal(sized(1024), limits) == 0);
  CHECK(refusal(sized(1025), limits) == 431);

  Stream stream(limits);
  stream.feed(start + std::string(1023 - start.size(), 'x'));
  CHECK(stream.reading().end == Progress::need_head);
  stream.feed("x");
  CHECK(stream.reading().status == 431);
}

TEST_CASE("a request line that is too long is refused with 414") {
  RequestLimits limits;
  limits.max_target = 100;
  CHECK(refusal(with_target("/"s + std::string(99, 'x')), limits) == 0);
  CHECK(refusal(with_target("/"s + std::string(100, 'x')), limits) == 414);
  CHECK(refusal("GET /"s + std::string(200, 'x'), limits) == 414);
  CHECK(refusal(with_target("/"s + std::string(8191, 'x'))) == 0);
  CHECK(refusal(with_target("/"s + std::string(8192, 'x'))) == 414);
}

TEST_CASE("more header fields than allowed are refused with 431") {
  RequestLimits limits;
  limits.max_fields = 3;
  CHECK(refusal(with_line("X: 1\r\nY: 2"), limits) == 0);
  CHECK(refusal(with_line("X: 1\r\nY: 2\r\nZ: 3"), limits) == 431);
  std::string fields;
  for (int i = 0; i < 99; ++i) fields.append("F").append(std::to_string(i)).append(": 1\r\n");
  CHECK(refusal(with_line(fields + "Last: 1")) == 431);
  CHECK(refusal(with_line(fields.substr(0, fields.size() - 2))) == 0);
}

TEST_CASE("up to four empty lines before a request are skipped") {
  require_one_request("\r\n"s + with_target("/"));
  require_one_request("\r\n\r\n\r\n\r\n"s + with_target("/"));
  CHECK(refusal("\r\n\r\n\r\n\r\n\r\n"s + with_target("/")) == 400);
}
