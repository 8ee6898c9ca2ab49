#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "config/readers.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

constexpr std::string_view kFrom = "proxy_protocol_from";
// Far more than anybody has proxies: each connection is held against all of them.
constexpr std::size_t kMostRanges = 256;

void read_range(const Scope& scope, const Node& node, const std::string& path,
                std::vector<os::AddressRange>& ranges) {
  const AddressRangeRule rule;
  const std::string* const text = scope.scalar(node, path, rule.expected());
  if (text == nullptr) return;
  const auto range = rule.parse(*text);
  if (!range) return scope.complain(node, path + ": " + range.problem());
  ranges.push_back(*range);
}

void read_from(const Section& section, const Entry& entry, ProxyProtocol& proxy) {
  const Scope& scope = section.scope();
  const std::string path = section.path_of(kFrom);
  const Node& list = *entry.value;
  if (list.kind != NodeKind::sequence) return read_range(scope, list, path, proxy.from);
  if (list.items.empty()) {
    return scope.complain(
        entry, path +
                   ": nobody could connect; name the proxies, or leave the key out for those "
                   "of this machine");
  }
  if (list.items.size() > kMostRanges) {
    return scope.complain(entry, fmt::format("{}: more than {} networks", path, kMostRanges));
  }
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    read_range(scope, *list.items[i], fmt::format("{}[{}]", path, i), proxy.from);
  }
}

}  // namespace

void read_proxy_protocol(const Section& section, const GroupSource& source, ProxyProtocol& proxy) {
  section.read("proxy_protocol", BooleanRule{}, proxy.enabled);
  const Entry* const from = section.find(kFrom);
  if (!proxy.enabled) {
    if (from == nullptr) return;
    return section.scope().complain(*from, section.path_of(kFrom) +
                                               ": the group takes no PROXY header; add "
                                               "proxy_protocol: true, or leave this out");
  }
  if (from != nullptr) {
    read_from(section, *from, proxy);
  } else {
    proxy.from = proxies_of_this_machine();
  }
  for (std::size_t i = 0; i < source.group.listen.size(); ++i) {
    const Listen& listen = source.group.listen[i];
    if (!listen.is_udp()) continue;
    section.scope().problems.add(
        source.listen_places[i],
        fmt::format("{}: no PROXY header can begin datagrams, and the group has proxy_protocol: "
                    "true; move {} to a group without it",
                    section.path_of("listen"), listen.text));
  }
}

}  // namespace appserver::config
