// Who listens where, across the groups of all files.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "config/readers.hpp"

namespace appserver::config {
namespace {

// Addresses of a port that are alike in what they overlap with, themselves aside.
std::string kind_of(const Listen& listen) {
  if (listen.host == "*" || listen.host == "0.0.0.0" || listen.host == "::") return listen.host;
  return listen.host.find(':') == std::string::npos ? "one of IPv4" : "one of IPv6";
}

}  // namespace

void Addresses::add(const GroupSource& source, Problems& problems) {
  const std::string& name = source.group.name;
  const std::vector<Listen> all = source.group.addresses();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Listen& listen = all[i];
    const std::size_t own = source.listen_places.size();
    const Place& place =
        i < own ? source.listen_places[i] : source.link_places[(i - own) / source.group.count];
    if (listen.is_unix() && listen.unix_path == daemon_.control_socket) {
      problems.add(place, fmt::format("groups.{}: {} is the control socket of the daemon", name,
                                      listen.text));
    }
    const bool any_port = !listen.is_unix() && listen.port == 0;
    // Two protocols cannot share a port; those of TCP and of UDP are apart.
    const std::string where =
        any_port || listen.is_udp() ? listen.text : listen.text.substr(listen.scheme.size());
    const auto [user, inserted] = users_.try_emplace(where, User{name, listen, place});
    if (inserted) {
      if (!listen.is_unix()) check_port(name, listen, place, problems);
      continue;
    }
    if (any_port && user->second.group != name) continue;  // each gets a port of its own
    problems.add(place,
                 fmt::format("groups.{}: {} is listened on twice; first by groups.{} at {}", name,
                             listen.text, user->second.group, to_string(user->second.place)));
  }
}

void Addresses::check_port(const std::string& group, const Listen& listen, const Place& place,
                           Problems& problems) {
  auto& sharing = ports_[{listen.is_udp(), listen.port}];
  const auto found = std::ranges::find_if(
      sharing, [&listen](const auto& each) { return each.second.listen.overlaps(listen); });
  if (found != sharing.end()) {
    const User& user = found->second;
    problems.add(
        place,
        fmt::format("groups.{}: {} overlaps with {}, of groups.{} at {}; give one of them "
                    "another port",
                    group, listen.text, user.listen.text, user.group, to_string(user.place)));
  }
  sharing.try_emplace(kind_of(listen), User{group, listen, place});
}

}  // namespace appserver::config
