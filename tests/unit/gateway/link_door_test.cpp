#include "gateway/link_door.hpp"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "../net/http_server_harness.hpp"
#include "gateway/link.hpp"

using namespace appserver;
using namespace appserver::gateway;
using appserver::test::run_until;
using Catch::Contains;

namespace {

LinkKeysPtr keys_with(const std::string& secret) {
  auto keys = std::make_shared<LinkKeys>();
  keys->secret = certificates::Secret(secret);
  return keys;
}

const std::string kSecret(32, 's');

struct Site {
  // The other end of what has come in.
  os::Fd knock() {
    auto [inside, outside] = test::tcp_pair();
    door.accept(std::move(inside), false);
    return std::move(outside);
  }
  template <class State>
  bool until(State&& state) {
    return run_until(context, state);
  }
  // How a business worker with this secret fares; empty: well.
  std::string try_secret(const std::string& secret) {
    const auto opening =
        std::make_shared<LinkOpening>(context, knock(), Role::business, keys_with(secret));
    std::optional<std::string> result;
    opening->start(nullptr, [&](LinkSocket*, const std::string& why) { result = why; });
    REQUIRE(until([&] { return result.has_value(); }));
    return *result;
  }

  boost::asio::io_context context{1};
  std::vector<LinkSocket> opened;
  std::vector<std::string> complaints;
  LinkDoor door{context,
                keys_with(kSecret),
                {[this](LinkSocket socket) { opened.push_back(std::move(socket)); },
                 [this](const std::string& what) { complaints.push_back(what); }}};
};

}  // namespace

TEST_CASE("a business worker that knows the secret comes in") {
  Site site;
  CHECK(site.try_secret(kSecret).empty());
  CHECK(site.until([&] { return site.opened.size() == 1; }));
  CHECK(site.complaints.empty());
  CHECK(site.door.openings() == 0);
}

TEST_CASE("one that does not is turned away, and both sides are told without the secret") {
  Site site;
  const std::string wrong(40, 'w');
  const std::string why = site.try_secret(wrong);
  CHECK_THAT(why, Contains("it refused the secret of this side"));
  REQUIRE(site.until([&] { return site.complaints.size() == 1; }));
  CHECK_THAT(site.complaints[0], Contains("127.0.0.1:") && Contains("does not know the secret"));
  for (const std::string& line : {why, site.complaints[0]}) {
    CHECK(line.find(wrong) == std::string::npos);
    CHECK(line.find(kSecret) == std::string::npos);
  }
  CHECK(site.opened.empty());
}

TEST_CASE("a secret that was read anew is asked for from then on") {
  Site site;
  const std::string fresh(32, 'f');
  site.door.renew(keys_with(fresh));
  CHECK_FALSE(site.try_secret(kSecret).empty());
  CHECK(site.try_secret(fresh).empty());
}

TEST_CASE("without a secret nobody comes in") {
  Site site;
  site.door.renew(keys_with(""));
  site.knock();
  REQUIRE(site.complaints.size() == 1);
  CHECK_THAT(site.complaints[0], Contains("secret_file of the link could not be read"));
}

TEST_CASE("a stranger that sends much, or hangs up, is closed at once") {
  Site site;
  const os::Fd much = site.knock();
  const std::string noise(100'000, 'x');
  ::send(much.get(), noise.data(), noise.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  CHECK(site.until([&] { return site.complaints.size() == 1; }));
  CHECK_THAT(site.complaints[0], Contains("does not speak the protocol of a link"));
  site.knock();
  CHECK(site.until([&] { return site.complaints.size() == 2; }));
  CHECK(site.door.openings() == 0);
}

TEST_CASE("a stranger that says nothing, or half of it, is closed after a while") {
  Site site;
  const os::Fd silent = site.knock();
  const os::Fd half = site.knock();
  ::send(half.get(), "APPS", 4, MSG_NOSIGNAL);
  CHECK(site.until([&] { return site.complaints.size() == 2; }));
  for (const std::string& line : site.complaints)
    CHECK_THAT(line, Contains("did not prove who it is within 5 s"));
}

TEST_CASE("of many strangers those that have taken longest make room for the next") {
  Site site;
  std::vector<os::Fd> strangers;
  for (std::size_t i = 0; i < LinkDoor::kMostOpenings + 10; ++i) strangers.push_back(site.knock());
  CHECK(site.door.openings() == LinkDoor::kMostOpenings);
  CHECK(site.complaints.size() == 10);
  CHECK(site.try_secret(kSecret).empty());
}
