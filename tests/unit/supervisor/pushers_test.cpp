#include "supervisor/pushers.hpp"

#include <pwd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

using namespace appserver;
using supervisor::GroupRelease;
using supervisor::GroupReleasePtr;

namespace {

GroupReleasePtr gateway(std::vector<std::string> users) {
  GroupRelease release;
  release.config.name = "gate";
  release.config.gateway.may_push = std::move(users);
  return std::make_shared<const GroupRelease>(std::move(release));
}

}  // namespace

TEST_CASE("only users whom the gateway names may push, and as it runs now") {
  const passwd* const nobody = ::getpwnam("nobody");
  REQUIRE(nobody != nullptr);
  const uid_t user = nobody->pw_uid;
  telemetry::Log log(telemetry::Level::error, telemetry::Format::text);
  supervisor::Pushers pushers(log);
  GroupReleasePtr release = gateway({});
  CHECK_FALSE(pushers.may_push(release, user));
  CHECK_FALSE(pushers.may_push(release, 0));
  release = gateway({"no-such-user", "nobody"});
  CHECK(pushers.may_push(release, user));
  CHECK(pushers.may_push(release, user));
  CHECK_FALSE(pushers.may_push(release, user + 1));
  release = gateway({"daemon"});
  CHECK_FALSE(pushers.may_push(release, user));
}
