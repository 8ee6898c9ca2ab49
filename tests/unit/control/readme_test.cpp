// The README's table of JSON objects against what is printed.
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "fake_daemon.hpp"

using namespace appserver::control;

namespace json = boost::json;

namespace {

using Names = std::set<std::string>;

// The code spans in the table's row of this object.
Names documented(const std::string& object) {
  std::ifstream readme(APPSERVER_README);
  bool in_table = false;
  for (std::string line; std::getline(readme, line);) {
    if (line == "| Object | Keys |") in_table = true;
    if (in_table && line.empty()) break;
    const std::string begin = "| " + object + " | ";
    if (!in_table || !line.starts_with(begin)) continue;
    std::istringstream parts(line.substr(begin.size()));
    Names names;
    bool code = false;
    for (std::string part; std::getline(parts, part, '`'); code = !code) {
      if (code) names.insert(part);
    }
    return names;
  }
  return {};
}

Names printed(const json::value& object) {
  Names names;
  for (const auto& member : object.as_object()) names.insert(std::string(member.key()));
  return names;
}

Status full_status() {
  Status status = sample_status();
  status.rollout = sample_rollout();
  status.bus = BusStatus{};
  status.groups.at(0).workers.at(0).gateway = GatewayStatus{};
  status.groups.at(0).workers.at(0).links = LinkStatus{};
  return status;
}

}  // namespace

TEST_CASE("the README names every key of what is printed as JSON, and no other") {
  const json::value status = to_json(full_status());
  const json::value& group = status.at("groups").at(0);
  const json::value& worker = group.at("workers").at(0);
  const json::value release = to_json(sample_history().at(0));
  CHECK(printed(status) == documented("status"));
  CHECK(printed(status.at("daemon")) == documented("daemon"));
  CHECK(printed(status.at("rollout")) == documented("rollout"));
  CHECK(printed(status.at("bus")) == documented("bus"));
  CHECK(printed(group) == documented("group"));
  CHECK(printed(group.at("build")) == documented("build"));
  CHECK(printed(group.at("tls").at("certificates").at(0)) == documented("certificate"));
  CHECK(printed(worker) == documented("worker"));
  CHECK(printed(worker.at("gateway")) == documented("gateway"));
  CHECK(printed(worker.at("links")) == documented("links"));
  CHECK(printed(release) == documented("release"));
  CHECK(printed(release.at("builds").at(0)) == documented("build of a release"));
  CHECK(printed(to_json(sample_crash())) == documented("crash"));
  GatewayReply reply;
  reply.clients.emplace_back();
  reply.names["room"] = 1;
  const json::value answer = to_json(reply);
  CHECK(printed(answer) == documented("answer of a gateway"));
  CHECK(printed(answer.at("clients").at(0)) == documented("client of a gateway"));
  CHECK(printed(answer.at("names").at(0)) == documented("name of a gateway"));
}
