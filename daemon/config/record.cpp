#include "config/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "config/problems.hpp"
#include "config/values.hpp"

namespace appserver::config {

namespace {

namespace json = boost::json;

// Reads one key's value into its place in `Out`.
template <typename Out>
struct Field {
  std::string_view key;
  void (*read)(const json::value& value, Out& out);
};

// What is wrong is told with the keys that lead to it: "reload: canary: slots: ...".
template <typename Out, std::size_t N>
void read_fields(const json::value& value, const std::array<Field<Out>, N>& fields, Out& out) {
  for (const auto& entry : value.as_object()) {
    const std::string_view key = entry.key();
    const auto* const field = std::ranges::find(fields, key, &Field<Out>::key);
    if (field == fields.end()) {
      throw std::runtime_error(fmt::format("unknown key {}", in_quotes(key)));
    }
    try {
      field->read(entry.value(), out);
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("{}: {}", key, error.what()));
    }
  }
}

template <typename Number>
void read(const json::value& value, Number& out) {
  out = value.to_number<Number>();
}

void read(const json::value& value, bool& out) { out = value.as_bool(); }

void read(const json::value& value, std::string& out) { out = json::value_to<std::string>(value); }

void read(const json::value& value, std::filesystem::path& out) {
  out = json::value_to<std::string>(value);
}

void read(const json::value& value, milliseconds& out) {
  const auto count = value.to_number<milliseconds::rep>();
  if (count < 0) throw std::runtime_error(fmt::format("the duration {} is negative", count));
  out = milliseconds(count);
}

void read(const json::value& value, Bytes& out) { out.value = value.to_number<std::uint64_t>(); }

void read(const json::value& value, Inconclusive& out) {
  const auto policy = InconclusiveRule{}.parse(json::value_to<std::string>(value));
  if (!policy) throw std::runtime_error(policy.problem());
  out = *policy;
}

template <typename Number>
void read(const json::value& value, std::optional<Number>& out) {
  out = value.is_null() ? std::nullopt : std::optional(value.to_number<Number>());
}

std::uint32_t read_count(const json::value& value) {
  const auto count = CountRule{}.parse(std::to_string(value.to_number<std::uint64_t>()));
  if (!count) throw std::runtime_error(count.problem());
  return *count;
}

template <typename Number>
json::value or_null(const std::optional<Number>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

constexpr std::array<Field<Listen>, 5> kListen = {
    {{"scheme", [](const json::value& value, Listen& out) { read(value, out.scheme); }},
     {"host", [](const json::value& value, Listen& out) { read(value, out.host); }},
     {"port", [](const json::value& value, Listen& out) { read(value, out.port); }},
     {"unix_path", [](const json::value& value, Listen& out) { read(value, out.unix_path); }},
     {"text", [](const json::value& value, Listen& out) { read(value, out.text); }}}};

json::value write(const Listen& listen) {
  return json::object{{"scheme", listen.scheme},
                      {"host", listen.host},
                      {"port", listen.port},
                      {"unix_path", listen.unix_path.native()},
                      {"text", listen.text}};
}

void read(const json::value& value, std::vector<Listen>& out) {
  for (const json::value& item : value.as_array()) read_fields(item, kListen, out.emplace_back());
}

constexpr std::array<Field<Canary>, 4> kCanary = {
    {{"slots", [](const json::value& value, Canary& out) { read(value, out.slots); }},
     {"hold", [](const json::value& value, Canary& out) { read(value, out.hold); }},
     {"min_requests", [](const json::value& value, Canary& out) { read(value, out.min_requests); }},
     {"on_inconclusive",
      [](const json::value& value, Canary& out) { read(value, out.on_inconclusive); }}}};

json::value write(const Canary& canary) {
  return json::object{{"slots", canary.slots},
                      {"hold", canary.hold.count()},
                      {"min_requests", canary.min_requests},
                      {"on_inconclusive", to_word(canary.on_inconclusive)}};
}

constexpr std::array<Field<Reload>, 10> kReload = {{
    {"surge", [](const json::value& value, Reload& out) { read(value, out.surge); }},
    {"start_timeout",
     [](const json::value& value, Reload& out) { read(value, out.start_timeout); }},
    {"min_ready", [](const json::value& value, Reload& out) { read(value, out.min_ready); }},
    {"drain_timeout",
     [](const json::value& value, Reload& out) { read(value, out.drain_timeout); }},
    {"probe", [](const json::value& value, Reload& out) { read(value, out.probe); }},
    {"deadline", [](const json::value& value, Reload& out) { read(value, out.deadline); }},
    {"confirm_within",
     [](const json::value& value, Reload& out) { read(value, out.confirm_within); }},
    {"reserve_memory",
     [](const json::value& value, Reload& out) { read(value, out.reserve_memory); }},
    {"close_spread", [](const json::value& value, Reload& out) { read(value, out.close_spread); }},
    {"canary",
     [](const json::value& value, Reload& out) { read_fields(value, kCanary, out.canary); }},
}};

json::value write(const Reload& reload) {
  return json::object{{"surge", reload.surge},
                      {"start_timeout", reload.start_timeout.count()},
                      {"min_ready", reload.min_ready.count()},
                      {"drain_timeout", reload.drain_timeout.count()},
                      {"probe", reload.probe},
                      {"deadline", reload.deadline.count()},
                      {"confirm_within", reload.confirm_within.count()},
                      {"reserve_memory", reload.reserve_memory.value},
                      {"close_spread", reload.close_spread.count()},
                      {"canary", write(reload.canary)}};
}

constexpr std::array<Field<Limits>, 9> kLimits = {{
    {"max_connections",
     [](const json::value& value, Limits& out) { read(value, out.max_connections); }},
    {"max_body", [](const json::value& value, Limits& out) { read(value, out.max_body); }},
    {"header_timeout",
     [](const json::value& value, Limits& out) { read(value, out.header_timeout); }},
    {"idle_timeout", [](const json::value& value, Limits& out) { read(value, out.idle_timeout); }},
    {"max_message", [](const json::value& value, Limits& out) { read(value, out.max_message); }},
    {"send_buffer", [](const json::value& value, Limits& out) { read(value, out.send_buffer); }},
    {"send_timeout", [](const json::value& value, Limits& out) { read(value, out.send_timeout); }},
    {"stream_idle_timeout",
     [](const json::value& value, Limits& out) { read(value, out.stream_idle_timeout); }},
    {"ping_interval",
     [](const json::value& value, Limits& out) { read(value, out.ping_interval); }},
}};

json::value write(const Limits& limits) {
  return json::object{{"max_connections", limits.max_connections},
                      {"max_body", limits.max_body.value},
                      {"header_timeout", limits.header_timeout.count()},
                      {"idle_timeout", limits.idle_timeout.count()},
                      {"max_message", limits.max_message.value},
                      {"send_buffer", limits.send_buffer.value},
                      {"send_timeout", limits.send_timeout.count()},
                      {"stream_idle_timeout", limits.stream_idle_timeout.count()},
                      {"ping_interval", limits.ping_interval.count()}};
}

constexpr std::array<Field<Recycle>, 3> kRecycle = {{
    {"max_requests", [](const json::value& value, Recycle& out) { read(value, out.max_requests); }},
    {"max_memory", [](const json::value& value, Recycle& out) { read(value, out.max_memory); }},
    {"max_lifetime", [](const json::value& value, Recycle& out) { read(value, out.max_lifetime); }},
}};

json::value write(const Recycle& recycle) {
  return json::object{{"max_requests", recycle.max_requests},
                      {"max_memory", recycle.max_memory.value},
                      {"max_lifetime", recycle.max_lifetime.count()}};
}

void read(const json::value& value, std::vector<int>& out) {
  for (const json::value& item : value.as_array()) out.push_back(item.to_number<int>());
}

void read(const json::value& value, std::map<std::string, Rlimit>& out) {
  for (const auto& entry : value.as_object()) {
    const json::array& pair = entry.value().as_array();
    if (pair.size() != 2) throw std::runtime_error("a limit is a pair, soft and hard");
    Rlimit& limit = out[std::string(entry.key())];
    read(pair.at(0), limit.soft);
    read(pair.at(1), limit.hard);
  }
}

json::value write(const std::map<std::string, Rlimit>& rlimits) {
  json::object object;
  for (const auto& [name, limit] : rlimits) {
    object[name] = json::array{or_null(limit.soft), or_null(limit.hard)};
  }
  return object;
}

void read(const json::value& value, std::map<std::string, std::string>& out) {
  for (const auto& entry : value.as_object()) read(entry.value(), out[std::string(entry.key())]);
}

json::value write(const std::map<std::string, std::string>& environment) {
  json::object object;
  for (const auto& [name, value] : environment) object[name] = value;
  return object;
}

template <typename Rule, typename Out>
void read_word(const json::value& value, Out& out) {
  const auto word = Rule{}.parse(json::value_to<std::string>(value));
  if (!word) throw std::runtime_error(word.problem());
  out = *word;
}

constexpr std::array<Field<Tls::Identity>, 2> kIdentity = {
    {{"certificate",
      [](const json::value& value, Tls::Identity& out) { read(value, out.certificate); }},
     {"key", [](const json::value& value, Tls::Identity& out) { read(value, out.key); }}}};

void read(const json::value& value, std::vector<Tls::Identity>& out) {
  for (const json::value& item : value.as_array()) read_fields(item, kIdentity, out.emplace_back());
}

constexpr std::array<Field<Tls>, 5> kTls = {
    {{"secret_file", [](const json::value& value, Tls& out) { read(value, out.secret_file); }},
     {"certificates", [](const json::value& value, Tls& out) { read(value, out.certificates); }},
     {"client_certificates",
      [](const json::value& value, Tls& out) {
        read_word<ClientCertificatesRule>(value, out.client_certificates);
      }},
     {"client_ca", [](const json::value& value, Tls& out) { read(value, out.client_ca); }},
     {"min_version", [](const json::value& value, Tls& out) {
        read_word<TlsVersionRule>(value, out.min_version);
      }}}};

// The paths alone: what the files hold stays out of records.
json::value write(const Tls& tls) {
  json::array certificates;
  for (const Tls::Identity& identity : tls.certificates) {
    certificates.push_back(json::object{{"certificate", identity.certificate.native()},
                                        {"key", identity.key.native()}});
  }
  json::object object{{"certificates", std::move(certificates)},
                      {"client_certificates", to_word(tls.client_certificates)},
                      {"client_ca", tls.client_ca.native()},
                      {"min_version", to_word(tls.min_version)}};
  if (!tls.secret_file.empty()) object["secret_file"] = tls.secret_file.native();
  return object;
}

constexpr std::array<Field<LinkTarget>, 5> kLinkTarget = {
    {{"tls", [](const json::value& value, LinkTarget& out) { read(value, out.tls); }},
     {"host", [](const json::value& value, LinkTarget& out) { read(value, out.host); }},
     {"port", [](const json::value& value, LinkTarget& out) { read(value, out.port); }},
     {"unix_path", [](const json::value& value, LinkTarget& out) { read(value, out.unix_path); }},
     {"text", [](const json::value& value, LinkTarget& out) { read(value, out.text); }}}};

void read(const json::value& value, std::vector<LinkTarget>& out) {
  for (const json::value& item : value.as_array())
    read_fields(item, kLinkTarget, out.emplace_back());
}

constexpr std::array<Field<Link>, 5> kLink = {
    {{"listen", [](const json::value& value, Link& out) { read(value, out.listen); }},
     {"connect", [](const json::value& value, Link& out) { read(value, out.connect); }},
     {"tls", [](const json::value& value, Link& out) { read_fields(value, kTls, out.tls); }},
     {"server_name", [](const json::value& value, Link& out) { read(value, out.server_name); }},
     {"timeout", [](const json::value& value, Link& out) { read(value, out.timeout); }}}};

json::value write(const Link& link) {
  json::array listen;
  for (const Listen& address : link.listen) listen.push_back(write(address));
  json::array connect;
  for (const LinkTarget& target : link.connect) {
    connect.push_back(json::object{{"tls", target.tls},
                                   {"host", target.host},
                                   {"port", target.port},
                                   {"unix_path", target.unix_path.native()},
                                   {"text", target.text}});
  }
  return json::object{{"listen", std::move(listen)},
                      {"connect", std::move(connect)},
                      {"tls", write(link.tls)},
                      {"server_name", link.server_name},
                      {"timeout", link.timeout.count()}};
}

void read(const json::value& value, ProxyProtocol& out) {
  out.enabled = true;
  for (const json::value& item : value.as_array()) {
    const auto range = AddressRangeRule{}.parse(json::value_to<std::string>(item));
    if (!range) throw std::runtime_error(range.problem());
    out.from.push_back(*range);
  }
}

json::value write(const ProxyProtocol& proxy) {
  json::array from;
  for (const os::AddressRange& range : proxy.from) from.push_back(json::string(range.text()));
  return from;
}

void read(const json::value& value, std::vector<std::string>& out) {
  out.clear();
  for (const json::value& item : value.as_array()) read(item, out.emplace_back());
}

constexpr std::array<Field<Compress>, 3> kCompress = {
    {{"types", [](const json::value& value, Compress& out) { read(value, out.types); }},
     {"min_size", [](const json::value& value, Compress& out) { read(value, out.min_size); }},
     {"level", [](const json::value& value, Compress& out) { read(value, out.level); }}}};

// Of one that is enabled.
json::value write(const Compress& compress) {
  return json::object{{"types", json::array(compress.types.begin(), compress.types.end())},
                      {"min_size", compress.min_size.value},
                      {"level", compress.level}};
}

constexpr std::array<Field<Gateway>, 6> kGateway = {{
    {"delivery",
     [](const json::value& value, Gateway& out) { read_word<DeliveryRule>(value, out.delivery); }},
    {"park_timeout", [](const json::value& value, Gateway& out) { read(value, out.park_timeout); }},
    {"park_memory", [](const json::value& value, Gateway& out) { read(value, out.park_memory); }},
    {"ping_limit", [](const json::value& value, Gateway& out) { read(value, out.ping_limit); }},
    {"ping_data", [](const json::value& value, Gateway& out) { read(value, out.ping_data); }},
    {"may_push", [](const json::value& value, Gateway& out) { read(value, out.may_push); }},
}};

json::value write(const Gateway& gateway) {
  json::object object{{"delivery", to_word(gateway.delivery)},
                      {"park_timeout", gateway.park_timeout.count()},
                      {"park_memory", gateway.park_memory.value},
                      {"ping_limit", gateway.ping_limit},
                      {"ping_data", gateway.ping_data}};
  if (!gateway.may_push.empty())
    object["may_push"] = json::array(gateway.may_push.begin(), gateway.may_push.end());
  return object;
}

constexpr std::array<Field<Group>, 25> kGroup = {{
    {"name", [](const json::value& value, Group& out) { read(value, out.name); }},
    {"plugin", [](const json::value& value, Group& out) { read(value, out.plugin); }},
    {"listen", [](const json::value& value, Group& out) { read(value, out.listen); }},
    {"count", [](const json::value& value, Group& out) { out.count = read_count(value); }},
    {"reloadable", [](const json::value& value, Group& out) { read(value, out.reloadable); }},
    {"settings", [](const json::value& value, Group& out) { read(value, out.settings); }},
    {"reload",
     [](const json::value& value, Group& out) { read_fields(value, kReload, out.reload); }},
    {"limits",
     [](const json::value& value, Group& out) { read_fields(value, kLimits, out.limits); }},
    {"recycle",
     [](const json::value& value, Group& out) { read_fields(value, kRecycle, out.recycle); }},
    {"hang_timeout", [](const json::value& value, Group& out) { read(value, out.hang_timeout); }},
    {"user", [](const json::value& value, Group& out) { read(value, out.user); }},
    {"group", [](const json::value& value, Group& out) { read(value, out.group); }},
    {"nice", [](const json::value& value, Group& out) { read(value, out.nice); }},
    {"cpu_affinity", [](const json::value& value, Group& out) { read(value, out.cpu_affinity); }},
    {"rlimits", [](const json::value& value, Group& out) { read(value, out.rlimits); }},
    {"environment", [](const json::value& value, Group& out) { read(value, out.environment); }},
    {"working_directory",
     [](const json::value& value, Group& out) { read(value, out.working_directory); }},
    {"tls", [](const json::value& value, Group& out) { read_fields(value, kTls, out.tls); }},
    {"proxy_protocol",
     [](const json::value& value, Group& out) { read(value, out.proxy_protocol); }},
    {"dropped", [](const json::value& value, Group& out) { read(value, out.dropped); }},
    {"kind",
     [](const json::value& value, Group& out) { read_word<GroupKindRule>(value, out.kind); }},
    {"of_gateway", [](const json::value& value, Group& out) { read(value, out.of_gateway); }},
    {"link", [](const json::value& value, Group& out) { read_fields(value, kLink, out.link); }},
    {"gateway",
     [](const json::value& value, Group& out) { read_fields(value, kGateway, out.gateway); }},
    {"compress",
     [](const json::value& value, Group& out) {
       out.compress.enabled = true;
       read_fields(value, kCompress, out.compress);
     }},
}};

}  // namespace

json::value to_json(const Group& group) {
  json::array listen;
  for (const Listen& address : group.listen) listen.push_back(write(address));
  json::object object{
      {"name", group.name},
      {"plugin", group.plugin.native()},
      {"listen", std::move(listen)},
      {"count", group.count},
      {"reloadable", group.reloadable},
      {"settings", group.settings},
      {"reload", write(group.reload)},
      {"limits", write(group.limits)},
      {"recycle", write(group.recycle)},
      {"hang_timeout", group.hang_timeout.count()},
      {"user", group.user},
      {"group", group.group},
      {"nice", or_null(group.nice)},
      {"cpu_affinity", json::array(group.cpu_affinity.begin(), group.cpu_affinity.end())},
      {"rlimits", write(group.rlimits)},
      {"environment", write(group.environment)},
      {"working_directory", group.working_directory.native()}};
  // Not for others: the fingerprints of older versions are to stay what they are.
  if (group.tls.is_used()) object["tls"] = write(group.tls);
  if (group.proxy_protocol.enabled) object["proxy_protocol"] = write(group.proxy_protocol);
  if (group.dropped) object["dropped"] = true;
  if (group.kind != GroupKind::plain) object["kind"] = to_word(group.kind);
  if (!group.of_gateway.empty()) object["of_gateway"] = group.of_gateway;
  if (group.kind == GroupKind::gateway) object["gateway"] = write(group.gateway);
  if (group.link.is_used()) object["link"] = write(group.link);
  if (group.compress.enabled) object["compress"] = write(group.compress);
  return object;
}

Group group_from_json(const json::value& value) {
  Group group;
  read_fields(value, kGroup, group);
  return group;
}

}  // namespace appserver::config
