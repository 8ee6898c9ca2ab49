#include "gateway/handshake.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

using namespace appserver::gateway;
using Catch::Contains;
using State = Handshake::State;

namespace {

const std::string kSecret(32, 's');

Handshake::Nonce nonce_of(unsigned char byte) {
  Handshake::Nonce nonce;
  nonce.fill(byte);
  return nonce;
}

// A business worker and a gateway worker, and all that each has said.
struct Talk {
  explicit Talk(std::string of_business = kSecret)
      : secret(std::move(of_business)),
        business(Role::business, secret, nonce_of(1)),
        gateway(Role::gateway, kSecret, nonce_of(2)) {}
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  // One side takes what the other has said, `at_once` bytes each time.
  static void hear(Handshake& who, std::string& said, std::string& says, std::size_t at_once) {
    std::string received;
    while (!said.empty() && who.state() == State::going) {
      received += said.substr(0, at_once);
      said.erase(0, at_once);
      who.take(received, says);
    }
  }
  void run(std::size_t at_once = 1000) {
    std::string to_gateway = business.begin();
    std::string to_business;
    while (!to_gateway.empty() || !to_business.empty()) {
      spoken += to_gateway;
      hear(gateway, to_gateway, to_business, at_once);
      if (gateway.state() != State::going) to_gateway.clear();
      hear(business, to_business, to_gateway, at_once);
      if (business.state() != State::going) to_business.clear();
    }
  }

  const std::string secret;  // of the business worker
  Handshake business;
  Handshake gateway;
  std::string spoken;  // by the business worker
};

}  // namespace

TEST_CASE("two sides with one secret believe each other, however the bytes come") {
  const std::size_t at_once = GENERATE(1000, 1, 7);
  Talk talk;
  talk.run(at_once);
  CHECK(talk.business.state() == State::done);
  CHECK(talk.gateway.state() == State::done);
}

TEST_CASE("a wrong secret is told on both sides") {
  Talk talk(std::string(32, 'x'));
  talk.run();
  CHECK(talk.gateway.state() == State::failed);
  CHECK_THAT(talk.gateway.why(), Contains("does not know the secret"));
  CHECK(talk.business.state() == State::failed);
  CHECK_THAT(talk.business.why(), Contains("refused the secret"));
}

TEST_CASE("what was said in one handshake proves nothing in the next") {
  Talk first;
  first.run();
  REQUIRE(first.gateway.state() == State::done);
  Handshake next(Role::gateway, kSecret, nonce_of(3));
  std::string replayed = first.spoken;
  std::string out;
  CHECK(next.take(replayed, out) == State::failed);
  CHECK_THAT(next.why(), Contains("does not know the secret"));
}

TEST_CASE("a gateway that gets back what it says is not deceived, nor is a business worker") {
  Handshake gateway(Role::gateway, kSecret, nonce_of(1));
  std::string said = gateway.begin();
  std::string out;
  CHECK(gateway.take(said, out) == State::failed);
  CHECK_THAT(gateway.why(), Contains("is no business worker"));

  Handshake business(Role::business, kSecret, nonce_of(1));
  said = business.begin();
  CHECK(business.take(said, out) == State::failed);
  CHECK_THAT(business.why(), Contains("is no gateway worker"));
}

TEST_CASE("a gateway that sends a business worker's own proof back has proved nothing") {
  Handshake business(Role::business, kSecret, nonce_of(1));
  std::string opening = Handshake(Role::gateway, kSecret, nonce_of(2)).begin();
  std::string proof;
  REQUIRE(business.take(opening, proof) == State::going);
  REQUIRE(proof.size() == Handshake::kProof);
  std::string answer = '\1' + proof;
  std::string out;
  CHECK(business.take(answer, out) == State::failed);
  CHECK_THAT(business.why(), Contains("could not prove that it knows the secret"));
}

TEST_CASE("a stranger hears no proof before it has given its own") {
  Handshake gateway(Role::gateway, kSecret, nonce_of(1));
  std::string opening = Handshake(Role::business, {}, nonce_of(2)).begin();
  std::string out;
  REQUIRE(gateway.take(opening, out) == State::going);
  CHECK(out == gateway.begin());
  std::string proof(Handshake::kProof, '?');
  out.clear();
  CHECK(gateway.take(proof, out) == State::failed);
  CHECK(out.size() == 1);
}

TEST_CASE("another version is told with words, and the peer hears of ours") {
  Handshake gateway(Role::gateway, kSecret, nonce_of(1));
  std::string opening = Handshake(Role::business, kSecret, nonce_of(2)).begin();
  opening[9] = 7;
  std::string out;
  CHECK(gateway.take(opening, out) == State::failed);
  CHECK_THAT(gateway.why(), Contains("speaks version 7") && Contains("this side 1"));
  CHECK(out == gateway.begin());

  Handshake business(Role::business, kSecret, nonce_of(2));
  std::string theirs = gateway.begin();
  theirs[9] = 9;
  CHECK(business.take(theirs, out) == State::failed);
  CHECK_THAT(business.why(), Contains("speaks version 9"));
}

TEST_CASE("whoever speaks something else is found out at its first wrong byte") {
  for (const std::string said : {"G", "APPSLINX", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"}) {
    Handshake gateway(Role::gateway, kSecret, nonce_of(1));
    std::string received = said;
    std::string out;
    CHECK(gateway.take(received, out) == State::failed);
    CHECK(out.empty());
  }
}

TEST_CASE("a truncated handshake is not over, and takes no more bytes than are its own") {
  Talk talk;
  std::string opening = talk.business.begin();
  opening.pop_back();
  std::string out;
  CHECK(talk.gateway.take(opening, out) == State::going);
  CHECK(out.empty());

  std::string whole = talk.business.begin() + "what belongs to the link";
  Handshake gateway(Role::gateway, kSecret, nonce_of(1));
  CHECK(gateway.take(whole, out) == State::going);
  CHECK(whole.size() == std::string("what belongs to the link").size());
  CHECK(gateway.wanted() == Handshake::kProof);
}

TEST_CASE("nonces are not the same twice") {
  CHECK(Handshake::fresh_nonce() != Handshake::fresh_nonce());
}
