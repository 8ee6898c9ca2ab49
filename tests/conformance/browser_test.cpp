// The chat in a real browser. Where there is none, the test names the package and passes; ./run
// says so as an error.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/daemon.hpp"
#include "support/process.hpp"

using namespace appserver::integration;

TEST_CASE("two browser pages chat over reloads of the business group, and see none of them") {
  constexpr int kSkipped = 77;
  Site site("groups: {}\n");
  site.install(shipped_plugin("chat"), "chat");
  const auto groups = [&](const std::string& websocket) {
    return "groups:\n"
           "  gate: {kind: gateway, listen: 'ws://127.0.0.1:0'}\n"
           "  chat: {kind: business, gateway: gate, plugin: chat, count: 2, settings: {"
           "lines_per_minute: 0, database: '" +
           (site.root() / "chat.db").string() +
           "'}}\n"
           "  page: {plugin: chat, listen: 'http://127.0.0.1:0', settings: {websocket: '" +
           websocket + "'}}\n";
  };
  site.configure(groups(":1"));
  Daemon daemon(site);
  site.configure(groups(":" + std::to_string(daemon.address("gate").port)));
  REQUIRE(daemon.ctl({"reload"}).exit.code == 0);
  const std::string url = "http://127.0.0.1:" + std::to_string(daemon.address("page").port) + "/";
  const Finished finished =
      run({"/usr/bin/python3", APPSERVER_SOURCE_DIR "/tests/conformance/clients/browser.py", url,
           ctl_binary(), "--socket", site.control_socket().string(), "reload", "chat"},
          Deadline(240s));
  INFO(finished.text());
  if (finished.exit.code == kSkipped) {
    if (std::getenv("APPSERVER_CONFORMANCE_ALL") != nullptr) FAIL("missing: a browser");
    WARN("not tried, missing: " + finished.text());
    return;
  }
  CHECK(finished.exit.code == 0);
}
