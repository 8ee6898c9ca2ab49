#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "config/record.hpp"
#include "support.hpp"

using namespace appserver::config;

namespace {

Lines from(const Group& group) {
  Lines texts;
  for (const auto& range : group.proxy_protocol.from) texts.push_back(range.text());
  return texts;
}

constexpr const char* kOn = "    proxy_protocol: true\n";

}  // namespace

TEST_CASE("a group takes no PROXY header unless it says so") {
  const Group group = load_group("    listen: http://*:80\n");
  CHECK_FALSE(group.proxy_protocol.enabled);
  CHECK(from(group).empty());
}

TEST_CASE("a PROXY header is taken from this machine alone unless others are named") {
  CHECK(from(load_group(kOn)) == Lines{"127.0.0.0/8", "::1", "unix"});
  CHECK(from(load_group(std::string(kOn) + "    proxy_protocol_from: 10.0.0.0/8\n")) ==
        Lines{"10.0.0.0/8"});
  CHECK(from(load_group(std::string(kOn) +
                        "    proxy_protocol_from: [2001:DB8::/32, 192.0.2.1, unix]\n")) ==
        Lines{"2001:db8::/32", "192.0.2.1", "unix"});
}

TEST_CASE("proxies that nobody is, and proxies without the protocol, are mistakes") {
  const auto problems = [](const std::string& value) {
    return group_problems(std::string(kOn) + "    proxy_protocol_from: " + value + "\n");
  };
  CHECK(problems("10.0.0.1/8") ==
        Lines{"app.yaml:5:26: groups.api.proxy_protocol_from: expected a network such as "
              "10.0.0.0/8, an address, or unix, got '10.0.0.1/8'; the network is 10.0.0.0/8"});
  CHECK(problems("[unix, balancer]") ==
        Lines{"app.yaml:5:33: groups.api.proxy_protocol_from[1]: expected a network such as "
              "10.0.0.0/8, an address, or unix, got 'balancer'"});
  CHECK(problems("[]") ==
        Lines{"app.yaml:5:5: groups.api.proxy_protocol_from: nobody could connect; name the "
              "proxies, or leave the key out for those of this machine"});
  CHECK(problems("[[unix]]").size() == 1);
  CHECK(group_problems("    proxy_protocol_from: unix\n") ==
        Lines{"app.yaml:4:5: groups.api.proxy_protocol_from: the group takes no PROXY header; add "
              "proxy_protocol: true, or leave this out"});
  CHECK(group_problems("    proxy_protocol: v2\n").size() == 1);
}

TEST_CASE("more than 256 networks of proxies are refused") {
  const auto listed = [](int count) {
    std::string list = "    proxy_protocol_from: [unix";
    for (int i = 1; i < count; ++i) list += ", unix";
    return std::string(kOn) + list + "]\n";
  };
  CHECK(from(load_group(listed(256))).size() == 256);
  CHECK(group_problems(listed(257)) ==
        Lines{"app.yaml:5:5: groups.api.proxy_protocol_from: more than 256 networks"});
}

TEST_CASE("an address of datagrams is refused where connections begin with PROXY headers") {
  CHECK(group_problems(std::string(kOn) + "    listen: [tcp://*:53, udp://*:53]\n") ==
        Lines{"app.yaml:5:26: groups.api.listen: no PROXY header can begin datagrams, and the "
              "group has proxy_protocol: true; move udp://*:53 to a group without it"});
}

TEST_CASE("a release's record and a dump hold who may send PROXY headers") {
  const Group group =
      load_group(std::string(kOn) + "    proxy_protocol_from: [10.0.0.0/8, '::1', unix]\n");
  CHECK(group_from_json(to_json(group)) == group);
  // The fingerprints of groups without it are what they were.
  CHECK_FALSE(to_json(load_group("")).as_object().contains("proxy_protocol"));
  const Config config = load_yaml(
      "groups: {api: {plugin: hello, proxy_protocol: true, "
      "proxy_protocol_from: [10.0.0.0/8, unix]}}");
  CHECK(load_text(dump(config), config.file, environment_of({})).groups == config.groups);
}

TEST_CASE("a record that names no good network is refused") {
  auto record = to_json(load_group(kOn));
  record.as_object()["proxy_protocol"].as_array().emplace_back("everybody");
  CHECK_THROWS_WITH(group_from_json(record), Catch::Contains("proxy_protocol: expected a network"));
}
