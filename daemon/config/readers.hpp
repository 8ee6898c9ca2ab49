// From sections of the tree to the structs of config.hpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "config/section.hpp"

namespace appserver::config {

// A group and the places that later checks between groups name.
struct GroupSource {
  Group group;
  Place place;
  std::vector<Place> listen_places;  // one for each of group.listen
  std::vector<Place> link_places;    // and of group.link.listen
};

// The defaults of a daemon whose relative paths begin in `folder`.
Daemon default_daemon(const std::filesystem::path& folder);

// The `daemon:` section of the top level.
Daemon read_daemon(const Section& top);

// Where a group's plugin is looked for: `plugin: NAME` is NAME.so in `folder`; where it stands
// `beside` its description, it is the group's name with ".so" and no key.
struct PluginPlace {
  std::filesystem::path folder;  // absolute
  bool beside = false;
};

// Adds the group that `entry` describes by name and mapping, checked by itself and against the
// names that are there already. False after the problem that there are too many.
bool add_group(const Scope& scope, const Entry& entry, const PluginPlace& plugin,
               std::vector<GroupSource>& groups);

// Adds every group under `groups:` of `top` to `groups`.
void read_groups(const Section& top, const std::filesystem::path& plugin_dir,
                 std::vector<GroupSource>& groups);

// These read `reload`, `recycle` and `hang_timeout` of a group's section. A canary is checked
// against `count`, the group's workers, where it is known.
void read_reload(const Section& group, std::optional<std::uint32_t> count, Reload& reload);
void read_recycle(const Section& group, Recycle& recycle);
void read_hang_timeout(const Section& group, milliseconds& hang_timeout);

// user, group, nice, cpu_affinity, rlimits, environment and working_directory.
void read_process(const Section& section, Group& group);

// `tls`, of a group whose addresses are read: present where one of them is under TLS, and only
// there.
void read_tls(const Section& section, const Entry& group_entry, Group& group);

// `proxy_protocol` and `proxy_protocol_from`, of a group whose addresses are read.
void read_proxy_protocol(const Section& section, const GroupSource& source, ProxyProtocol& proxy);

// `compress`: true, false, or a mapping, which says true; of a group whose addresses are read.
void read_compress(const Section& section, Group& group);

// `kind` and `gateway` of a group; a gateway is not reloadable unless it says so.
void read_kind(const Section& section, Group& group);

// `delivery`, `park`, `may_push` and limits.ping_limit and ping_data, of a group whose kind and
// addresses are read.
void read_gateway(const Section& section, const Entry& group_entry, const Section& limits,
                  Group& group);

// `link` of a gateway group, whose count is read, and `gateway` of a business group where it is a
// mapping: a gateway of another daemon.
void read_link(const Section& section, GroupSource& source);
void read_remote_gateway(const Section& section, Group& group);

// Complains of a business group whose gateway is none.
void check_gateways(const std::vector<GroupSource>& groups, Problems& problems);

// A path without NUL, relative to the file that says it.
bool read_path(const Section& section, std::string_view key, std::filesystem::path& path);

// Who listens where, across groups.
class Addresses {
 public:
  // `daemon` outlives it.
  explicit Addresses(const Daemon& daemon) : daemon_(daemon) {}

  // Complains of an address of the group that is taken already, by itself or one added before, that
  // overlaps with such a one, or that is the control socket.
  void add(const GroupSource& source, Problems& problems);

 private:
  struct User {
    std::string group;
    Listen listen;
    Place place;
  };
  using Port = std::pair<bool, std::uint16_t>;  // of UDP or not

  void check_port(const std::string& group, const Listen& listen, const Place& place,
                  Problems& problems);

  const Daemon& daemon_;
  std::map<std::string, User> users_;                  // by the address
  std::map<Port, std::map<std::string, User>> ports_;  // of each kind of address the first
};

}  // namespace appserver::config
