// Cookies of requests, and those that answers set.
#include <appserver/plugin.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <string>

#include "scripted.hpp"

using namespace appserver;

namespace {

struct Fixture : fake::Scripted {
  // What the plugin reads as cookie "a".
  std::string read(const fake::Fields& headers, const std::string& name = "a") {
    on_request([&](Request& request, Response& response) {
      response.text(std::string(request.cookie(name, "(none)")));
    });
    return answer({.headers = headers}).body;
  }
};

bool refused(const Cookie& cookie) {
  try {
    static_cast<void>(detail::set_cookie(cookie));
    return false;
  } catch (const std::invalid_argument&) {
    return true;
  }
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a cookie is found by its name and read as it came") {
  REQUIRE(read({{"Cookie", "a=1"}}) == "1");
  REQUIRE(read({{"cookie", "b=2; a=1; a=3"}}) == "1");
  REQUIRE(read({{"Cookie", "b=2;a=1"}}) == "1");
  REQUIRE(read({{"Cookie", "a=x=y%20z"}}) == "x=y%20z");
  REQUIRE(read({{"Cookie", "a="}}) == "");
  REQUIRE(read({{"Cookie", "b=1"}, {"Cookie", "a=2"}}) == "2");
  REQUIRE(read({{"Cookie", "a=\"quoted\""}}) == "quoted");
  REQUIRE(read({{"Cookie", "a=\""}}) == "\"");
  REQUIRE(read({{"Cookie", " \ta\t= v "}}) == "v");
}

TEST_CASE_METHOD(Fixture, "what is no cookie of that name is none") {
  for (const char* value : {"", "a", "A=1", "aa=1", "b=a=1", ";;;", "=1", "b=1;  ; a"}) {
    CAPTURE(value);
    REQUIRE(read({{"Cookie", value}}) == "(none)");
  }
  REQUIRE(read({}) == "(none)");
  REQUIRE(read({{"X-Cookie", "a=1"}}) == "(none)");
}

TEST_CASE_METHOD(Fixture, "an answer sets cookies, carefully unless told otherwise") {
  on_request([](Request&, Response& response) {
    response.cookie({.name = "a", .value = "1"}).text("ok");
  });
  REQUIRE(answer({}).header("Set-Cookie") == "a=1; Path=/; HttpOnly; SameSite=Lax");
  REQUIRE(detail::set_cookie({.name = "__Secure-a",
                              .value = "x-._~!#$%&'()*+/:<=>?@[]^`{|}",
                              .path = "/shop",
                              .domain = "example.org",
                              .max_age = std::chrono::hours(1),
                              .secure = true,
                              .http_only = false,
                              .same_site = SameSite::kNone}) ==
          "__Secure-a=x-._~!#$%&'()*+/:<=>?@[]^`{|}; Path=/shop; Domain=example.org; "
          "Max-Age=3600; Secure; SameSite=None");
  REQUIRE(detail::set_cookie({.name = "a", .path = "", .same_site = SameSite::kStrict}) ==
          "a=; HttpOnly; SameSite=Strict");
}

TEST_CASE_METHOD(Fixture, "two cookies are two headers") {
  on_request([](Request&, Response& response) {
    response.cookie({.name = "a", .value = "1"}).cookie({.name = "b", .value = "2"}).text("ok");
  });
  REQUIRE(answer({}).headers.size() == 3);
}

TEST_CASE("a cookie that could be read otherwise than meant is refused") {
  for (const char* name : {"", "a b", "a=b", "a;b", "a\r\nX: y", "\xC3\xBC"}) {
    CAPTURE(name);
    REQUIRE(refused({.name = name}));
  }
  for (const char* value :
       {"a b", "a;b", "a,b", "\"a\"", "a\\b", "a\r\nX: y", "\x7f", "\xC3\xBC"}) {
    CAPTURE(value);
    REQUIRE(refused({.name = "a", .value = value}));
  }
  REQUIRE(refused({.name = "a", .value = std::string(1, '\0')}));
  REQUIRE(refused({.name = "a", .value = std::string(4096, 'x')}));
  REQUIRE(refused({.name = "a", .path = "shop"}));
  REQUIRE(refused({.name = "a", .path = "/; Secure"}));
  REQUIRE(refused({.name = "a", .domain = "x; Path=/"}));
  REQUIRE(refused({.name = "a", .same_site = SameSite::kNone}));
  REQUIRE(refused({.name = "__Secure-a"}));
  REQUIRE(refused({.name = "__Host-a", .domain = "x", .secure = true}));
  REQUIRE_FALSE(refused({.name = "__Host-a", .secure = true}));
}

TEST_CASE_METHOD(Fixture, "a refused cookie names itself, and the client gets 500") {
  on_request([](Request& request, Response& response) {
    response.cookie({.name = "a", .value = request.query("v", "")}).text("ok");
  });
  const auto got = answer({.target = "/?v=1;%20Domain=evil"});
  REQUIRE(got.status == 500);
  REQUIRE(host.errors().find("cookie \"a\": its value holds") != std::string::npos);
}
