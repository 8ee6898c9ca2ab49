#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

const std::filesystem::path kFolder = APPSERVER_CONFIG_FOLDER;

}  // namespace

TEST_CASE("the quickstart runs hello from the build tree") {
  const Config config = load_file(kFolder / "quickstart.yaml", environment_of({}));
  const std::filesystem::path tree = kFolder.parent_path();
  CHECK(config.daemon.control_socket == tree / "build/run/appserverd.sock");
  CHECK(config.daemon.state_dir == tree / "build/run/state");
  CHECK(config.daemon.plugins == Plugins{tree / "build/release/plugins", 5, true});
  REQUIRE(config.groups.size() == 1);
  CHECK(config.groups[0].name == "hello");
  CHECK(config.groups[0].plugin == tree / "build/release/plugins/hello.so");
  CHECK(config.groups[0].count == 2);
  REQUIRE(config.groups[0].listen.size() == 1);
  CHECK(config.groups[0].listen[0].text == "http://127.0.0.1:8080");
}

TEST_CASE("the example of every key is valid, and what it calls a default is one") {
  const Config config = load_file(kFolder / "app.yaml", environment_of({}));
  REQUIRE(config.groups.size() == 5);
  const Config defaults = load_text("groups: {api: {plugin: hello}}", kFolder / "app.yaml");
  CHECK(config.daemon == defaults.daemon);
  Group api = config.groups[0];
  CHECK(api.limits == Limits{});
  CHECK(api.reload.probe == "/healthz");
  api.reload.probe.clear();
  CHECK(api.reload == Reload{});
  CHECK(api.recycle == Recycle{});
  CHECK(api.compress.enabled);
  api.compress.enabled = false;
  CHECK(api.compress == Compress{});
  CHECK(api.hang_timeout == Group{}.hang_timeout);
  CHECK(config.groups[1].rlimits.size() == 9);
  Group gate = config.groups[2];
  CHECK(gate.limits == Limits{});
  gate.gateway.ping_limit = 0;
  gate.gateway.ping_data.clear();
  CHECK(gate.gateway == Gateway{});
  CHECK(config.groups[3].of_gateway == "gate");
}
