#include "net/client/connect_target.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace appserver;
using namespace net::client;
using Catch::Matchers::Contains;

namespace {

std::string why(const std::string& url) {
  try {
    parse_connect_target(url);
  } catch (const CallError& error) {
    CHECK(error.failure == Failure::request);
    return error.what();
  }
  return "it is taken";
}

}  // namespace

TEST_CASE("the URL of an outbound connection says what is spoken, and where") {
  const ConnectTarget text = parse_connect_target("text://prices:2000");
  CHECK(text.protocol == "text");
  CHECK(text.framing == net::stream::Framing::text);
  CHECK(text.target.host == "prices");
  CHECK(text.target.port == 2000);
  CHECK_FALSE(text.target.tls);
  CHECK(parse_connect_target("tls://[::1]:5/").target.tls);
  CHECK(parse_connect_target("tls://[::1]:5").target.host == "::1");
  CHECK(parse_connect_target("tls://[::1]:5").protocol == "tcp");
  CHECK(parse_connect_target("frame+tls://x:1").framing == net::stream::Framing::frame);
  const ConnectTarget web = parse_connect_target("wss://x/chat?room=1");
  CHECK(web.is_websocket());
  CHECK(web.target.port == 443);
  CHECK(web.target.resource == "/chat?room=1");
  CHECK(web.target.authority == "x");
  CHECK(parse_connect_target("ws://x:81").target.resource == "/");
}

TEST_CASE("the URL of an outbound connection may be a unix socket's, for each protocol") {
  const ConnectTarget raw = parse_connect_target("tls://unix:/run/a.sock");
  CHECK(raw.target.unix_socket == "/run/a.sock");
  CHECK(raw.target.host == "localhost");
  CHECK(raw.target.tls);
  const ConnectTarget web = parse_connect_target("ws://unix:/run/a.sock:/chat?x=1");
  CHECK(web.target.unix_socket == "/run/a.sock");
  CHECK(web.target.resource == "/chat?x=1");
  CHECK(parse_connect_target("ws://unix:/run/a.sock").target.resource == "/");
}

TEST_CASE("what is no URL of an outbound connection is refused with the reason") {
  CHECK_THAT(why("nothing"), Contains("no URL"));
  CHECK_THAT(why("http://x:1"), Contains("begins with none of tcp://"));
  CHECK_THAT(why("tcp://x"), Contains("names no port"));
  CHECK_THAT(why("tcp://x:0"), Contains("1 to 65535"));
  CHECK_THAT(why("tcp://x:99999"), Contains("1 to 65535"));
  CHECK_THAT(why("tcp://:1"), Contains("names no host"));
  CHECK_THAT(why("tcp://me@x:1"), Contains("holds a user"));
  CHECK_THAT(why("ws://x/#part"), Contains("holds a fragment"));
  CHECK_THAT(why("text://x:1/path"), Contains("text:// has no use for"));
  CHECK_THAT(why("text://unix:"), Contains("at most 107 bytes"));
  CHECK_THAT(why("text://unix:/" + std::string(107, 'x')), Contains("at most 107 bytes"));
  CHECK_THAT(why("text://x:1/" + std::string(20'000, 'x')), Contains("longer than 16 KiB"));
}
