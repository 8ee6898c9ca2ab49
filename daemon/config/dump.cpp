#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <iterator>

#include "config/load.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

namespace json = boost::json;

std::string quoted_yaml(std::string_view text) {
  // A JSON string is a double-quoted YAML scalar.
  return json::serialize(json::value(text));
}

// `${` would be expanded when the text is read again.
std::string escape_variables(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "${") result += '$';
    result += text[i];
  }
  return result;
}

// A string unquoted where nobody could take it for anything else. A path or an address is one.
std::string scalar(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:[]*";
  const bool begins_well = text.starts_with('/') || text.starts_with("http://");
  const bool ends_well = !text.ends_with(':');
  if (begins_well && ends_well && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  return quoted_yaml(escape_variables(text));
}

class Writer {
 public:
  // `level` steps of indentation, then `line`.
  void line(int level, std::string_view text) {
    fmt::format_to(std::back_inserter(text_), "{:{}}{}\n", "", level * 2, text);
  }
  template <typename Value>
  void field(int level, std::string_view key, const Value& value) {
    line(level, fmt::format("{}: {}", key, value));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void dump_settings(Writer& out, int level, const json::value& value);

// "key:" or "-", then a value on the same line or below it.
void dump_below(Writer& out, int level, const std::string& head, const json::value& value) {
  const bool nested = (value.is_object() && !value.get_object().empty()) ||
                      (value.is_array() && !value.get_array().empty());
  if (nested) {
    out.line(level, head);
    dump_settings(out, level + 1, value);
  } else if (value.is_string()) {
    out.line(level, head + " " + quoted_yaml(escape_variables(value.get_string())));
  } else {
    out.line(level, head + " " + json::serialize(value));
  }
}

// A list or a mapping that is not empty. Recursion is bounded by the depth of what was loaded.
void dump_settings(Writer& out, int level, const json::value& value) {
  if (value.is_array()) {
    for (const json::value& item : value.get_array()) dump_below(out, level, "-", item);
    return;
  }
  for (const auto& [key, below] : value.get_object()) {
    dump_below(out, level, quoted_yaml(key) + ":", below);
  }
}

void dump_daemon(Writer& out, const Daemon& daemon) {
  out.line(0, "daemon:");
  out.line(1, "control:");
  out.field(2, "socket", scalar(daemon.control_socket.native()));
  out.field(1, "state_dir", scalar(daemon.state_dir.native()));
  out.line(1, "plugins:");
  out.field(2, "dir", scalar(daemon.plugins.dir.native()));
  out.field(2, "keep", daemon.plugins.keep);
  out.field(2, "watch", daemon.plugins.watch);
  out.line(1, "bus:");
  out.field(2, "memory", to_text(daemon.bus.memory));
  out.line(1, "log:");
  out.field(2, "level", to_word(daemon.log.level));
  out.field(2, "format", to_word(daemon.log.format));
}

std::string rlimit_text(std::optional<std::uint64_t> limit) {
  return limit ? std::to_string(*limit) : "unlimited";
}

void dump_process(Writer& out, const Group& group) {
  if (!group.user.empty()) out.field(2, "user", scalar(group.user));
  if (!group.group.empty()) out.field(2, "group", scalar(group.group));
  if (group.nice) out.field(2, "nice", *group.nice);
  if (!group.cpu_affinity.empty()) {
    out.field(2, "cpu_affinity", fmt::format("[{}]", fmt::join(group.cpu_affinity, ", ")));
  }
  if (!group.rlimits.empty()) out.line(2, "rlimits:");
  for (const auto& [name, limit] : group.rlimits) {
    out.field(
        3, name,
        fmt::format("{{soft: {}, hard: {}}}", rlimit_text(limit.soft), rlimit_text(limit.hard)));
  }
  if (!group.environment.empty()) out.line(2, "environment:");
  for (const auto& [name, value] : group.environment) {
    out.field(3, quoted_yaml(name), quoted_yaml(escape_variables(value)));
  }
  if (!group.working_directory.empty()) {
    out.field(2, "working_directory", scalar(group.working_directory.native()));
  }
}

void dump_reload(Writer& out, const Reload& reload) {
  out.line(2, "reload:");
  out.field(3, "surge", reload.surge);
  out.field(3, "start_timeout", to_text(reload.start_timeout));
  out.field(3, "min_ready", to_text(reload.min_ready));
  out.field(3, "drain_timeout", to_text(reload.drain_timeout));
  if (!reload.probe.empty()) out.field(3, "probe", scalar(reload.probe));
  out.field(3, "deadline", to_text(reload.deadline));
  out.field(3, "confirm_within", to_text(reload.confirm_within));
  out.field(3, "reserve_memory", to_text(reload.reserve_memory));
  out.field(3, "close_spread", to_text(reload.close_spread));
  out.line(3, "canary:");
  out.field(4, "slots", reload.canary.slots);
  out.field(4, "hold", to_text(reload.canary.hold));
  out.field(4, "min_requests", reload.canary.min_requests);
  out.field(4, "on_inconclusive", to_word(reload.canary.on_inconclusive));
}

void dump_tls(Writer& out, const Tls& tls) {
  if (!tls.is_used()) return;
  out.line(2, "tls:");
  out.line(3, "certificates:");
  for (const Tls::Identity& identity : tls.certificates) {
    out.line(4, "- certificate: " + scalar(identity.certificate.native()));
    out.line(4, "  key: " + scalar(identity.key.native()));
  }
  out.field(3, "client_certificates", to_word(tls.client_certificates));
  if (!tls.client_ca.empty()) out.field(3, "client_ca", scalar(tls.client_ca.native()));
  out.field(3, "min_version", quoted_yaml(to_word(tls.min_version)));
}

void dump_link_tls(Writer& out, const Group& group) {
  const Tls& tls = group.link.tls;
  if (tls.certificates.empty() && tls.client_ca.empty() && group.link.server_name.empty()) return;
  out.line(3, "tls:");
  if (!tls.certificates.empty()) {
    out.field(4, "certificate", scalar(tls.certificates.front().certificate.native()));
    out.field(4, "key", scalar(tls.certificates.front().key.native()));
  }
  if (!tls.client_ca.empty()) {
    out.field(4, group.kind == GroupKind::gateway ? "client_ca" : "ca",
              scalar(tls.client_ca.native()));
  }
  if (!group.link.server_name.empty()) out.field(4, "server_name", scalar(group.link.server_name));
}

void dump_link(Writer& out, const Group& group) {
  const Link& link = group.link;
  if (!link.is_used()) return;
  out.line(2, group.kind == GroupKind::gateway ? "link:" : "gateway:");
  if (!link.listen.empty()) out.line(3, "listen:");
  for (const Listen& listen : link.listen) out.line(4, "- " + scalar(listen.text));
  if (!link.connect.empty()) out.line(3, "connect:");
  for (const LinkTarget& target : link.connect) out.line(4, "- " + scalar(target.text));
  out.field(3, "secret_file", scalar(link.tls.secret_file.native()));
  dump_link_tls(out, group);
  out.field(3, "timeout", to_text(link.timeout));
}

void dump_proxy_protocol(Writer& out, const ProxyProtocol& proxy) {
  out.field(2, "proxy_protocol", proxy.enabled);
  if (!proxy.enabled) return;
  out.line(2, "proxy_protocol_from:");
  for (const os::AddressRange& range : proxy.from) out.line(3, "- " + quoted_yaml(range.text()));
}

void dump_compress(Writer& out, const Compress& compress) {
  if (!compress.enabled) return out.field(2, "compress", false);
  out.line(2, "compress:");
  out.line(3, "types:");
  for (const std::string& type : compress.types) out.line(4, "- " + quoted_yaml(type));
  out.field(3, "min_size", to_text(compress.min_size));
  out.field(3, "level", compress.level);
}

void dump_group(Writer& out, const Group& group) {
  out.line(1, group.name + (group.dropped ? ":  # dropped into the plugin folder" : ":"));
  if (group.kind != GroupKind::plain) out.field(2, "kind", to_word(group.kind));
  if (!group.of_gateway.empty()) out.field(2, "gateway", group.of_gateway);
  dump_link(out, group);
  if (group.kind != GroupKind::gateway) out.field(2, "plugin", scalar(group.plugin.native()));
  if (!group.listen.empty()) out.line(2, "listen:");
  for (const Listen& listen : group.listen) out.line(3, "- " + scalar(listen.text));
  out.field(2, "count", group.count);
  out.field(2, "reloadable", group.reloadable);
  if (group.kind == GroupKind::gateway) {
    out.field(2, "delivery", to_word(group.gateway.delivery));
    out.line(2, "park:");
    out.field(3, "timeout", to_text(group.gateway.park_timeout));
    out.field(3, "memory", to_text(group.gateway.park_memory));
    if (!group.gateway.may_push.empty()) out.line(2, "may_push:");
    for (const std::string& user : group.gateway.may_push) out.line(3, "- " + scalar(user));
  } else {
    dump_below(out, 2, "settings:", json::parse(group.settings));
  }
  dump_reload(out, group.reload);
  out.line(2, "limits:");
  out.field(3, "max_connections", group.limits.max_connections);
  out.field(3, "max_body", to_text(group.limits.max_body));
  out.field(3, "header_timeout", to_text(group.limits.header_timeout));
  out.field(3, "idle_timeout", to_text(group.limits.idle_timeout));
  out.field(3, "max_message", to_text(group.limits.max_message));
  out.field(3, "send_buffer", to_text(group.limits.send_buffer));
  out.field(3, "send_timeout", to_text(group.limits.send_timeout));
  out.field(3, "stream_idle_timeout", to_text(group.limits.stream_idle_timeout));
  out.field(3, "ping_interval", to_text(group.limits.ping_interval));
  if (group.kind == GroupKind::gateway) {
    out.field(3, "ping_limit", group.gateway.ping_limit);
    if (!group.gateway.ping_data.empty())
      out.field(3, "ping_data", quoted_yaml(escape_variables(group.gateway.ping_data)));
  }
  out.line(2, "recycle:");
  out.field(3, "max_requests", group.recycle.max_requests);
  out.field(3, "max_memory", to_text(group.recycle.max_memory));
  out.field(3, "max_lifetime", to_text(group.recycle.max_lifetime));
  dump_compress(out, group.compress);
  dump_tls(out, group.tls);
  dump_proxy_protocol(out, group.proxy_protocol);
  out.field(2, "hang_timeout", to_text(group.hang_timeout));
  dump_process(out, group);
}

}  // namespace

std::string dump(const Config& config) {
  Writer out;
  dump_daemon(out, config.daemon);
  out.line(0, "groups:");
  for (const Group& group : config.groups) dump_group(out, group);
  return out.take();
}

}  // namespace appserver::config
