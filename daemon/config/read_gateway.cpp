#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::array<std::string_view, 2> kParkKeys = {"timeout", "memory"};
constexpr std::size_t kMostPingData = 1024;
constexpr std::size_t kMostPushers = 256;
// A quarter of the longest message between gateway and business workers.
constexpr Bytes kMostRelayed{16ull << 20};

void complain_of(const Section& section, std::string_view key, std::string_view why) {
  const Entry* const entry = section.find(key);
  if (entry == nullptr) return;
  section.scope().complain(*entry, fmt::format("{}: {}", section.path_of(key), why));
}

void check_addresses(const Section& section, const Entry& group_entry, const Group& group) {
  const Entry* const listen = section.find("listen");
  if (listen == nullptr) {
    return section.scope().complain(group_entry,
                                    section.path() +
                                        ": a gateway holds connections, and has no address to get "
                                        "them at; add listen: ws://*:8080");
  }
  for (const Listen& each : group.listen) {
    if (!each.is_http() && !each.is_udp()) continue;
    section.scope().complain(
        *listen, fmt::format("{}: a gateway speaks ws, text, frame and tcp, also under TLS, and "
                             "not {}",
                             section.path_of("listen"), each.text));
  }
}

void read_park(const Section& section, Gateway& gateway) {
  section.read("timeout", DurationRule{milliseconds(1)}, gateway.park_timeout);
  section.read("memory", SizeRule{Bytes{1}, kMostMemory}, gateway.park_memory);
}

void read_pusher(const Scope& scope, const Node& node, const std::string& path, Gateway& gateway) {
  std::string user;
  if (scope.read(node, path, AccountRule{}, user)) gateway.may_push.push_back(std::move(user));
}

void read_pushers(const Section& section, Gateway& gateway) {
  const Entry* const entry = section.find("may_push");
  if (entry == nullptr) return;
  const Scope& scope = section.scope();
  const std::string path = section.path_of("may_push");
  const Node& list = *entry->value;
  if (list.kind != NodeKind::sequence) return read_pusher(scope, list, path, gateway);
  if (list.items.size() > kMostPushers)
    return scope.complain(*entry, fmt::format("{}: more than {} users", path, kMostPushers));
  for (std::size_t i = 0; i < list.items.size(); ++i)
    read_pusher(scope, *list.items[i], fmt::format("{}[{}]", path, i), gateway);
}

void read_pings(const Section& limits, Gateway& gateway) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  limits.read("ping_limit", IntegerRule{0, kMax}, gateway.ping_limit);
  limits.read("ping_data", TextRule{"what is sent to a client"}, gateway.ping_data);
  if (gateway.ping_data.size() > kMostPingData)
    complain_of(limits, "ping_data", fmt::format("it is over {} bytes", kMostPingData));
}

}  // namespace

void read_kind(const Section& section, Group& group) {
  section.read("kind", GroupKindRule{}, group.kind);
  if (group.kind == GroupKind::gateway) group.reloadable = false;
  if (group.kind == GroupKind::business) {
    if (section.find("gateway") == nullptr) {
      if (const Entry* const kind = section.find("kind")) {
        section.scope().complain(*kind, section.path() +
                                            ": a business group serves the clients of a gateway; "
                                            "add gateway: NAME, the name of that group, or "
                                            "gateway: {connect: [tls://HOST:PORT], ...}");
      }
      return;
    }
    if (section.find("gateway")->value->kind == NodeKind::map)
      return read_remote_gateway(section, group);
    section.read("gateway", TextRule{"the name of a group of kind gateway"}, group.of_gateway);
    return;
  }
  complain_of(section, "gateway", "only a group with `kind: business` has a gateway");
}

void read_gateway(const Section& section, const Entry& group_entry, const Section& limits,
                  Group& group) {
  if (group.kind != GroupKind::gateway) {
    constexpr std::string_view kNone = "only a group with `kind: gateway` has it";
    complain_of(section, "delivery", kNone);
    complain_of(section, "park", kNone);
    complain_of(section, "may_push", kNone);
    complain_of(section, "link", kNone);
    complain_of(limits, "ping_limit", kNone);
    complain_of(limits, "ping_data", kNone);
    return;
  }
  complain_of(section, "plugin",
              "a gateway is built in; the plugin goes to a group with `kind: business`");
  complain_of(section, "settings", "a gateway has no plugin that would read them");
  check_addresses(section, group_entry, group);
  section.read("delivery", DeliveryRule{}, group.gateway.delivery);
  read_park(section.section("park", kParkKeys), group.gateway);
  read_pushers(section, group.gateway);
  read_pings(limits, group.gateway);
  if (group.limits.max_message.value > kMostRelayed.value)
    complain_of(limits, "max_message",
                fmt::format("what a gateway passes on is at most {}", to_text(kMostRelayed)));
}

void check_gateways(const std::vector<GroupSource>& groups, Problems& problems) {
  for (const GroupSource& source : groups) {
    const Group& group = source.group;
    if (group.of_gateway.empty()) continue;
    const auto found = std::ranges::find(groups, group.of_gateway,
                                         [](const GroupSource& other) { return other.group.name; });
    if (found != groups.end() && found->group.kind == GroupKind::gateway) continue;
    problems.add(source.place,
                 fmt::format("groups.{}.gateway: {} is {}", group.name, group.of_gateway,
                             found == groups.end() ? "no group; add it with `kind: gateway`"
                                                   : "a group without `kind: gateway`"));
  }
}

}  // namespace appserver::config
