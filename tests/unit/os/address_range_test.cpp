#include "os/address_range.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using appserver::os::AddressRange;

namespace {

sockaddr_storage address(const std::string& text) {
  sockaddr_storage storage{};
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (text == "unix") {
    storage.ss_family = AF_UNIX;
  } else if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    std::memcpy(&storage, &v4, sizeof(v4));
  } else {
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1);
    v6.sin6_family = AF_INET6;
    std::memcpy(&storage, &v6, sizeof(v6));
  }
  return storage;
}

AddressRange range(const std::string& text) {
  std::string hint;
  const auto parsed = AddressRange::parse(text, hint);
  INFO(text << " " << hint);
  REQUIRE(parsed);
  return *parsed;
}

bool holds(const std::string& text, const std::string& peer) {
  return range(text).contains(address(peer));
}

std::string hint_for(const std::string& text) {
  std::string hint;
  CHECK_FALSE(AddressRange::parse(text, hint));
  return hint;
}

}  // namespace

TEST_CASE("a network holds its addresses and no other") {
  CHECK(holds("10.0.0.0/8", "10.255.255.255"));
  CHECK_FALSE(holds("10.0.0.0/8", "11.0.0.0"));
  CHECK(holds("192.0.2.128/25", "192.0.2.128"));
  CHECK_FALSE(holds("192.0.2.128/25", "192.0.2.127"));
  CHECK(holds("0.0.0.0/0", "255.1.2.3"));
  CHECK(holds("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(holds("::/0", "fe80::1"));
}

TEST_CASE("an address alone is itself") {
  CHECK(holds("127.0.0.1", "127.0.0.1"));
  CHECK_FALSE(holds("127.0.0.1", "127.0.0.2"));
  CHECK(holds("::1", "::1"));
  CHECK_FALSE(holds("::1", "::2"));
}

TEST_CASE("a family's networks hold nobody of another") {
  for (const std::string all : {"0.0.0.0/0", "::/0", "unix"}) {
    for (const std::string peer : {"192.0.2.1", "2001:db8::1", "unix"}) {
      const bool same =
          (all == "unix") == (peer == "unix") &&
          (all.find(':') != std::string::npos) == (peer.find(':') != std::string::npos);
      INFO(all << " " << peer);
      CHECK(holds(all, peer) == same);
    }
  }
}

TEST_CASE("an IPv4 peer of an IPv6 socket is one of IPv4") {
  CHECK(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
  CHECK_FALSE(holds("10.0.0.0/8", "::ffff:11.1.2.3"));
  CHECK_FALSE(holds("::/0", "::ffff:10.1.2.3"));
}

TEST_CASE("a range's text is canonical, and reads back as the same range") {
  CHECK(range("2001:DB8:0::/32").text() == "2001:db8::/32");
  CHECK(range("192.0.2.1/32").text() == "192.0.2.1");
  CHECK(range("::1/128") == range("::1"));
  CHECK(range("unix").text() == "unix");
}

TEST_CASE("what is no network is refused with a hint where there is one") {
  CHECK(hint_for("10.0.0.1/8") == "the network is 10.0.0.0/8");
  CHECK(hint_for("2001:db8::1/32") == "the network is 2001:db8::/32");
  CHECK(hint_for("10.0.0.0/33") == "the number behind / goes from 0 to 32");
  CHECK(hint_for("::/129") == "the number behind / goes from 0 to 128");
  CHECK(hint_for("10.0.0.0/") == "the number behind / goes from 0 to 32");
  CHECK(hint_for("10.0.0.0/08") == "the number behind / goes from 0 to 32");
  CHECK(hint_for("10.0.0.0/-1") == "the number behind / goes from 0 to 32");
  CHECK(hint_for("::ffff:10.0.0.0/104") == "write an IPv4 network as one, such as 10.0.0.0/8");
  for (const std::string text :
       {"", "10", "10.0.0", "localhost", "*", "[::1]", "Unix", "10.0.0.0 /8"})
    CHECK(hint_for(text).empty());
}
