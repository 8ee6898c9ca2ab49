#include "net/proxy_protocol.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy_headers.hpp"

using namespace appserver::net;
using namespace appserver::test;
using proxy_protocol::Header;
using proxy_protocol::read_header;
using Kind = Header::Kind;

namespace {

std::string why(std::string_view data) {
  const Header header = read_header(data);
  CHECK(header.kind == Kind::malformed);
  return std::string(header.why);
}

Ends ends_of(std::string_view data) {
  const Header header = read_header(data);
  REQUIRE(header.kind == Kind::whole);
  CHECK(header.size == data.size());
  REQUIRE(header.ends);
  return *header.ends;
}

bool keeps_ends(std::string_view data) {
  const Header header = read_header(data);
  CHECK(header.kind == Kind::whole);
  CHECK(header.size == data.size());
  return !header.ends.has_value();
}

const std::string kInet = std::string("\xC0\x00\x02\x01\xC6\x33\x64\x02", 8) + "\x14\x03\x01\xBB";

}  // namespace

TEST_CASE("a line of TCP4 or TCP6 tells both ends") {
  CHECK(ends_of("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n") ==
        Ends{"192.168.0.1:56324", "192.168.0.11:443"});
  CHECK(ends_of("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") ==
        Ends{"255.255.255.255:65535", "255.255.255.255:65535"});
  CHECK(ends_of("PROXY TCP6 2001:DB8::1 ::1 0 443\r\n") == Ends{"[2001:db8::1]:0", "[::1]:443"});
  CHECK(ends_of("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")
            .remote == "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

TEST_CASE("an IPv4 address in a line of TCP6 is named as one") {
  CHECK(ends_of("PROXY TCP6 ::ffff:192.0.2.1 ::1 5 443\r\n") == Ends{"192.0.2.1:5", "[::1]:443"});
}

TEST_CASE("a line of UNKNOWN leaves the socket's own ends, whatever else it says") {
  CHECK(keeps_ends("PROXY UNKNOWN\r\n"));
  CHECK(
      keeps_ends("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
  CHECK(keeps_ends("PROXY UNKNOWN \x01 TCP4\r\n"));
  CHECK(why("PROXY UNKNOWNS\r\n") == "its header is for neither TCP4, TCP6 nor UNKNOWN");
}

TEST_CASE("what follows a header is left alone") {
  const Header line = read_header("PROXY UNKNOWN\r\nPROXY TCP4 nothing");
  CHECK((line.kind == Kind::whole && line.size == 15));
  const std::string header = binary(0x21, 0x11, kInet);
  const Header block = read_header(header + header);
  CHECK((block.kind == Kind::whole && block.size == header.size()));
}

TEST_CASE("a line that is not exactly of the protocol is none") {
  const std::string addresses = "the addresses of its header are none";
  for (const std::string_view rest : {"TCP4 192.0.2.1 192.0.2.2 1",
                                      "TCP4 192.0.2.1 192.0.2.2 1 2 3",
                                      "TCP4 192.0.2.1 192.0.2.2",
                                      "TCP4 192.0.2.01 192.0.2.2 1 2",
                                      "TCP4 192.0.2 192.0.2.2 1 2",
                                      "TCP4 192.0.2.256 192.0.2.2 1 2",
                                      "TCP4 ::1 ::1 1 2",
                                      "TCP6 192.0.2.1 192.0.2.2 1 2",
                                      "TCP4 192.0.2.1 192.0.2.2 01 2",
                                      "TCP4 192.0.2.1 192.0.2.2 1 65536",
                                      "TCP4 192.0.2.1 192.0.2.2 -1 2",
                                      "TCP4 192.0.2.1 192.0.2.2 +1 2",
                                      "TCP4 192.0.2.1 192.0.2.2 1 2 ",
                                      "TCP4  192.0.2.1 192.0.2.2 1 2",
                                      "TCP4 192.0.2.1 192.0.2.2  1 2",
                                      "TCP6 ::1 fe80::1%lo 1 2",
                                      "TCP6 ::1::2 ::1 1 2",
                                      "TCP6 :: 1::12345 1 2",
                                      "TCP4 192.0.2.1\t192.0.2.2 1 2",
                                      "TCP4 192.0.2.1 192.0.2.2 1 2\n"}) {
    INFO(rest);
    CHECK(why("PROXY " + std::string(rest) + "\r\n") == addresses);
  }
  const std::string with_nul("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n", 37);
  CHECK(why(with_nul) == addresses);
  for (const std::string_view kind : {"", "TCP", "tcp4 1.1.1.1 1.1.1.1 1 2", "UDP4 1 1 1 1", " "}) {
    INFO(kind);
    CHECK(why("PROXY " + std::string(kind) + "\r\n") ==
          "its header is for neither TCP4, TCP6 nor UNKNOWN");
  }
}

TEST_CASE("what begins otherwise is refused at its first wrong byte") {
  const std::string none = "it does not begin with a PROXY header";
  CHECK(why("GET / HTTP/1.1\r\n") == none);
  CHECK(why("G") == none);
  CHECK(why("PROXY\t") == none);
  CHECK(why("PROXY\r\n") == none);
  CHECK(why("proxy TCP4") == none);
  CHECK(why("PUT") == none);
  CHECK(why(std::string_view("\x16\x03\x01", 3)) == none);
  CHECK(why(std::string_view("\0", 1)) == none);
  CHECK(why("\r\nG") == none);
  CHECK(why(std::string(kSignature.substr(0, 11)) + "X") == none);
}

TEST_CASE("a line has its end within 107 bytes, of both CR and LF") {
  const std::string longest = "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n";
  REQUIRE(longest.size() == proxy_protocol::kLongestLine);
  CHECK(keeps_ends(longest));
  CHECK(why("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n") ==
        "the line of its header has no end");
  CHECK(read_header("PROXY UNKNOWN\n").kind == Kind::incomplete);
  CHECK(read_header("PROXY UNKNOWN\r").kind == Kind::incomplete);
  CHECK(why("PROXY UNKNOWN\nGET / HTTP/1.1\r\n") ==
        "its header is for neither TCP4, TCP6 nor UNKNOWN");
}

TEST_CASE("a block of IPv4, IPv6 or unix addresses tells both ends, of streams and datagrams") {
  const std::uint8_t protocol = GENERATE(std::uint8_t{1}, std::uint8_t{2});
  const auto family = [protocol](unsigned high) {
    return static_cast<std::uint8_t>(high << 4 | protocol);
  };
  CHECK(ends_of(binary(0x21, family(1), kInet)) == Ends{"192.0.2.1:5123", "198.51.100.2:443"});
  const std::string v6 = "\x20\x01\x0D\xB8" + std::string(11, '\0') + "\x01" +
                         std::string(15, '\0') + "\x01" + "\x14\x03\x01\xBB";
  CHECK(ends_of(binary(0x21, family(2), v6)) == Ends{"[2001:db8::1]:5123", "[::1]:443"});
  CHECK(ends_of(binary(0x21, family(3), std::string(216, 'p'))) == Ends{"unix", "unix"});
}

TEST_CASE("a block of LOCAL or of unspecified addresses leaves the socket's own ends") {
  CHECK(keeps_ends(binary(0x20, 0x00, "")));
  // The family is ignored, and so is all that follows.
  CHECK(keeps_ends(binary(0x20, 0xFF, "any")));
  CHECK(keeps_ends(binary(0x20, 0x11, kInet)));
  CHECK(keeps_ends(binary(0x21, 0x00, "")));
  CHECK(keeps_ends(binary(0x21, 0x01, "any")));
  CHECK(keeps_ends(binary(0x21, 0x10, "any")));
}

TEST_CASE("a block of an unknown version, command, family or protocol is refused") {
  CHECK(why(binary(0x11, 0x11, kInet)) == "its header is of an unknown version");
  CHECK(why(binary(0x31, 0x11, kInet)) == "its header is of an unknown version");
  CHECK(why(binary(0x22, 0x11, kInet)) == "its header has an unknown command");
  CHECK(why(binary(0x21, 0x41, kInet)) == "its header has an unknown address family or protocol");
  CHECK(why(binary(0x21, 0x13, kInet)) == "its header has an unknown address family or protocol");
}

TEST_CASE("a block holds its addresses and is at most 4 KiB") {
  CHECK(why(binary(0x21, 0x11, kInet.substr(1))) == "the addresses of its header are cut short");
  CHECK(why(binary(0x21, 0x21, std::string(35, 'a'))) ==
        "the addresses of its header are cut short");
  CHECK(why(binary(0x21, 0x31, std::string(215, 'a'))) ==
        "the addresses of its header are cut short");
  const std::string most =
      kInet + extension(0x04, std::string(proxy_protocol::kLongestBlock - kInet.size() - 3, 'n'));
  CHECK(ends_of(binary(0x21, 0x11, most)).remote == "192.0.2.1:5123");
  // By its head alone, before anything is kept.
  CHECK(why(binary(0x21, 0x11, most + "n").substr(0, 16)) == "its header is over 4096 bytes");
  CHECK(why(binary(0x20, 0x00, std::string(65'535, 'n')).substr(0, 16)) ==
        "its header is over 4096 bytes");
}

TEST_CASE("extensions fill the block exactly") {
  const std::string good = kInet + extension(0x02, "a.example") + extension(0x04, "") +
                           extension(0x20, std::string(5, '\0')) + extension(0xEA, "x");
  CHECK(ends_of(binary(0x21, 0x11, good)).local == "198.51.100.2:443");
  const std::string cut = "an extension of its header is cut short";
  CHECK(why(binary(0x21, 0x11, good + "\x02")) == cut);
  CHECK(why(binary(0x21, 0x11, good + std::string("\x02\x00", 2))) == cut);
  CHECK(why(binary(0x21, 0x11, good + std::string("\x02\x00\x02x", 4))) == cut);
  CHECK(why(binary(0x21, 0x11, kInet + std::string("\x02\xFF\xFF", 3))) == cut);
}

TEST_CASE("a checksum is verified where there is one") {
  const std::string zeroed = kInet + extension(0x02, "a.example") +
                             extension(0x03, std::string(4, '\0')) + extension(0x04, "pad");
  const std::string header = with_checksum(binary(0x21, 0x11, zeroed));
  CHECK(ends_of(header).remote == "192.0.2.1:5123");
  for (std::size_t i = proxy_protocol::kBinaryHead; i < header.size(); ++i) {
    std::string damaged = header;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    INFO(i);
    const Header read = read_header(damaged);
    // The one byte that says that there is a checksum.
    const bool hides_it = i == header.size() - 6 - 7;
    CHECK(read.kind == (hides_it ? Kind::whole : Kind::malformed));
  }
  CHECK(why(binary(0x21, 0x11, zeroed)) == "the checksum of its header does not match");
  CHECK(why(binary(0x21, 0x11, kInet + extension(0x03, "abc"))) ==
        "the checksum of its header is none");
  CHECK(why(binary(0x21, 0x11, zeroed + extension(0x03, "abcd"))) ==
        "the checksum of its header is none");
}

TEST_CASE("the checksum is CRC32c in network order") {
  // By another implementation of it, one that gives 0xE3069283 for "123456789".
  const std::string sum = "\x63\x5A\xFA\xE3";
  CHECK(ends_of(binary(0x21, 0x11, kInet + extension(0x03, sum))).remote == "192.0.2.1:5123");
  const std::string turned(sum.rbegin(), sum.rend());
  CHECK(why(binary(0x21, 0x11, kInet + extension(0x03, turned))) ==
        "the checksum of its header does not match");
}

TEST_CASE("a header that comes in pieces is incomplete until its last byte") {
  const std::string zeroed = kInet + extension(0x03, std::string(4, '\0'));
  for (const std::string& header :
       {std::string("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
        std::string("PROXY UNKNOWN\r\n"), binary(0x20, 0x00, ""),
        with_checksum(binary(0x21, 0x11, zeroed)), binary(0x21, 0x31, std::string(216, 'p'))}) {
    for (std::size_t size = 0; size < header.size(); ++size) {
      REQUIRE(read_header(std::string_view(header).substr(0, size)).kind == Kind::incomplete);
    }
    CHECK(read_header(header).kind == Kind::whole);
  }
}
