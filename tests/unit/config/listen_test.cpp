#include "config/listen.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

Listen parsed(std::string_view text) { return *parse_listen(text, "/srv"); }
std::string problem(std::string_view text) { return parse_listen(text, "/srv").problem(); }

}  // namespace

TEST_CASE("an address is a literal and a port") {
  const Listen v4 = parsed("http://127.0.0.1:8080");
  CHECK(v4.scheme == "http");
  CHECK(v4.host == "127.0.0.1");
  CHECK(v4.port == 8080);
  CHECK_FALSE(v4.is_unix());
  CHECK(v4.text == "http://127.0.0.1:8080");
  const Listen v6 = parsed("http://[::1]:8080");
  CHECK(v6.host == "::1");
  CHECK(v6.text == "http://[::1]:8080");
  CHECK(parsed("http://*:80").host == "*");
  CHECK(parsed("http://*:0").port == 0);
}

TEST_CASE("one address has one canonical text, however it is written") {
  CHECK(parsed("http://localhost:80").text == "http://127.0.0.1:80");
  CHECK(parsed("http://[0:0:0:0:0:0:0:1]:80").text == "http://[::1]:80");
  CHECK(parsed("http://[FE80::A]:80").text == "http://[fe80::a]:80");
  CHECK(parsed("http://127.0.0.1:0080").text == "http://127.0.0.1:80");
  CHECK(parsed("http://127.0.0.1:80/").text == "http://127.0.0.1:80");
  CHECK(parsed("http://unix:run/../run//api.sock").text == "http://unix:/srv/run/api.sock");
}

TEST_CASE("a unix socket is relative to the file and fits its address") {
  const Listen listen = parsed("http://unix:run/api.sock");
  CHECK(listen.is_unix());
  CHECK(listen.unix_path == "/srv/run/api.sock");
  CHECK(listen.host.empty());
  CHECK(parsed("http://unix:/run/api.sock").unix_path == "/run/api.sock");
  CHECK(parsed("http://unix:/" + std::string(106, 'a')).unix_path.native().size() == 107);
  const std::string path = "/" + std::string(107, 'a');
  CHECK(problem("http://unix:" + path) == "the path of a unix socket has at most 107 bytes, and " +
                                              path + " has 108; choose a shorter one");
  CHECK_FALSE(problem("http://unix:").empty());
}

TEST_CASE("what others call TLS is told with our name for it") {
  for (const auto& [theirs, ours] :
       {std::pair("text+ssl", "text+tls"), std::pair("frame+ssl", "frame+tls"),
        std::pair("ssl", "tls"), std::pair("tcp+tls", "tls"), std::pair("ws+tls", "wss"),
        std::pair("http+ssl", "https")}) {
    const std::string address = std::string(theirs) + "://127.0.0.1:80";
    CHECK(parse_listen(address, "/srv").problem() == "unknown scheme '" + std::string(theirs) +
                                                         "' in '" + address + "'; did you mean '" +
                                                         ours + "'?");
  }
}

TEST_CASE("an unknown scheme is told with those that it may have meant") {
  CHECK(parsed("ws://127.0.0.1:80").scheme == "ws");
  CHECK_FALSE(parsed("ws://127.0.0.1:80").is_http());
  CHECK(problem("htp://127.0.0.1:80") ==
        "unknown scheme 'htp' in 'htp://127.0.0.1:80'; did you mean 'http'?");
}

TEST_CASE("each protocol has a scheme for it under TLS") {
  for (const auto& [secured, plain] :
       {std::pair("https", "http"), std::pair("wss", "ws"), std::pair("text+tls", "text"),
        std::pair("tls", "tcp"), std::pair("frame+tls", "frame")}) {
    INFO(secured);
    const Listen under = parsed(std::string(secured) + "://127.0.0.1:443");
    CHECK(under.is_tls());
    CHECK(under.scheme == secured);
    CHECK(under.plain_scheme() == plain);
    CHECK(under.text == std::string(secured) + "://127.0.0.1:443");
    CHECK(parsed(std::string(secured) + "://unix:a.sock").unix_path == "/srv/a.sock");
    const Listen without = parsed(std::string(plain) + "://127.0.0.1:80");
    CHECK_FALSE(without.is_tls());
    CHECK(without.plain_scheme() == plain);
  }
  CHECK(parsed("https://127.0.0.1:443").is_http());
  CHECK_FALSE(parsed("tls://127.0.0.1:443").is_http());
}

TEST_CASE("two protocols cannot share a port, whether under TLS or not") {
  CHECK(group_problems("    listen: ['http://*:80', 'https://*:80']\n"
                       "    tls: {certificate: a, key: b}\n")
            .size() == 1);
}

TEST_CASE("an address that is none says what to write") {
  CHECK(problem("127.0.0.1:8080") ==
        "expected an address such as http://127.0.0.1:8080, got '127.0.0.1:8080'; write "
        "http://127.0.0.1:8080");
  CHECK(problem("8080") ==
        "expected an address such as http://127.0.0.1:8080, got '8080'; for a port, write "
        "http://*:8080");
  CHECK(problem("http://127.0.0.1") ==
        "expected an address such as http://127.0.0.1:8080, got 'http://127.0.0.1'; add a port");
  CHECK(problem("http://example.com:80") ==
        "expected an address such as http://127.0.0.1:8080, got 'http://example.com:80'; "
        "'example.com' is no "
        "literal address, and names are not looked up; write an IPv4 address, an IPv6 address in "
        "[], localhost, "
        "or * for all");
  for (const char* text :
       {"", "http://", "http://:80", "http://127.0.0.1:", "http://127.0.0.1:65536",
        "http://127.0.0.1:-1", "http://127.0.0.1:80/path", "http://u@127.0.0.1:80", "http://::1:80",
        "http://[::1]", "http://[::1:80", "http://[fe80::1%lo]:80", "http://127.1:80",
        "http://0177.0.0.1:80", "http://[*]:80"}) {
    INFO(text);
    CHECK_FALSE(problem(text).empty());
  }
}

TEST_CASE("a group listens on one address, on a list, or on none") {
  CHECK(load_group("").listen.empty());
  CHECK(load_group("    listen: http://127.0.0.1:80\n").listen.size() == 1);
  const Group group = load_group("    listen: ['http://127.0.0.1:80', 'http://[::1]:80']\n");
  REQUIRE(group.listen.size() == 2);
  CHECK(group.listen[1].text == "http://[::1]:80");
  CHECK(group_problems("    listen: {a: b}\n") ==
        Lines{"app.yaml:4:13: groups.api.listen: expected an address such as "
              "http://127.0.0.1:8080, got a "
              "mapping"});
}

TEST_CASE("an address that is listened on twice is refused, and both places are named") {
  CHECK(
      problems_of("groups:\n"
                  "  a: {plugin: p, listen: 'http://127.0.0.1:80'}\n"
                  "  b: {plugin: p, listen: 'http://localhost:80'}\n") ==
      Lines{
          "app.yaml:3:26: groups.b: http://127.0.0.1:80 is listened on twice; first by groups.a at "
          "app.yaml:2:26"});
  CHECK(group_problems("    listen:\n      - http://*:80\n      - http://*:80\n") ==
        Lines{"app.yaml:6:9: groups.api: http://*:80 is listened on twice; first by groups.api at "
              "app.yaml:5:9"});
}

TEST_CASE("addresses that overlap are refused, and both places are named") {
  CHECK(problems_of("groups:\n"
                    "  a: {plugin: p, listen: 'http://127.0.0.1:80'}\n"
                    "  b: {plugin: p, listen: 'text://*:80'}\n") ==
        Lines{"app.yaml:3:26: groups.b: text://*:80 overlaps with http://127.0.0.1:80, of groups.a "
              "at app.yaml:2:26; give one of them another port"});
  CHECK(group_problems("    listen:\n      - http://*:80\n      - http://127.0.0.1:80\n") ==
        Lines{"app.yaml:6:9: groups.api: http://127.0.0.1:80 overlaps with http://*:80, of "
              "groups.api at app.yaml:5:9; give one of them another port"});
  const auto clash = [](const std::string& one, const std::string& other) {
    const auto group = [](const std::string& name, const std::string& listen) {
      return "  " + name + ": {plugin: p, listen: '" + listen + "'}\n";
    };
    INFO(one << " " << other);
    const auto there = problems_of("groups:\n" + group("a", one) + group("b", other)).size();
    const auto back = problems_of("groups:\n" + group("a", other) + group("b", one)).size();
    CHECK(there == back);
    return there;
  };
  for (const char* wide : {"http://*:80", "http://0.0.0.0:80"})
    CHECK(clash(wide, "http://127.0.0.1:80") == 1);
  for (const char* wide : {"http://*:80", "http://[::]:80"})
    CHECK(clash(wide, "http://[::1]:80") == 1);
  CHECK(clash("http://*:80", "http://0.0.0.0:80") == 1);
  CHECK(clash("http://*:80", "http://[::]:80") == 1);
  CHECK(clash("udp://*:80", "udp://127.0.0.1:80") == 1);

  CHECK(clash("http://0.0.0.0:80", "http://[::]:80") == 0);
  CHECK(clash("http://0.0.0.0:80", "http://[::1]:80") == 0);
  CHECK(clash("http://[::]:80", "http://127.0.0.1:80") == 0);
  CHECK(clash("http://127.0.0.1:80", "http://127.0.0.2:80") == 0);
  CHECK(clash("http://127.0.0.1:80", "http://*:81") == 0);
  CHECK(clash("http://127.0.0.1:80", "udp://*:80") == 0);
  CHECK(clash("http://127.0.0.1:0", "http://*:0") == 0);
  CHECK(clash("http://unix:a.sock", "http://*:80") == 0);
}

TEST_CASE("an IPv4 address that is written as one of IPv6 says what to write") {
  CHECK(problem("http://[::ffff:127.0.0.1]:80") ==
        "expected an address such as http://127.0.0.1:8080, got 'http://[::ffff:127.0.0.1]:80'; "
        "write http://127.0.0.1:80");
}

TEST_CASE("port 0 is another port in each group") {
  CHECK(problems_of("groups:\n"
                    "  a: {plugin: p, listen: 'http://127.0.0.1:0'}\n"
                    "  b: {plugin: p, listen: 'http://127.0.0.1:0'}\n")
            .empty());
  CHECK(group_problems("    listen: ['http://*:0', 'http://*:0']\n").size() == 1);
}

TEST_CASE("a group cannot listen on the control socket") {
  CHECK(group_problems("    listen: http://unix:./run/appserverd.sock\n").size() == 1);
}

TEST_CASE("a udp:// address is a port, never a unix socket") {
  const Listen udp = parsed("udp://127.0.0.1:53");
  CHECK(udp.is_udp());
  CHECK_FALSE(udp.is_http());
  CHECK(udp.text == "udp://127.0.0.1:53");
  CHECK(problem("udp://unix:run/a.sock") ==
        "udp:// has no unix sockets: in 'udp://unix:run/a.sock'; write udp://127.0.0.1:PORT, or "
        "frame://unix:run/a.sock for messages over a unix socket");
}
