// A gateway group "gate", and behind it a business group "chat" with the relay plugin.
#pragma once

#include <filesystem>
#include <string>

#include "support/site.hpp"

namespace appserver::integration {

struct GatewayWish {
  std::string listen = "ws://127.0.0.1:0";
  int gateways = 1;
  int workers = 1;
  std::string settings{};  // of the plugin
  std::string gateway{};   // further lines of the gateway group
  std::string business{};  // of the business group
};

class GatewaySite : public Site {
 public:
  explicit GatewaySite(const GatewayWish& wish = {}) : Site(groups(wish)) { install_relay("v1"); }

  void install_relay(const std::string& version) {
    install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / "relay.so", "relay");
  }

 private:
  static std::string groups(const GatewayWish& wish) {
    return "groups:\n  gate:\n    kind: gateway\n    listen: '" + wish.listen +
           "'\n    count: " + std::to_string(wish.gateways) + "\n" + wish.gateway +
           "  chat:\n    kind: business\n    gateway: gate\n    plugin: relay\n    count: " +
           std::to_string(wish.workers) + "\n    settings: {" + wish.settings + "}\n" +
           wish.business;
  }
};

}  // namespace appserver::integration
