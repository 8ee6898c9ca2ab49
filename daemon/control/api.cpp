#include "control/api.hpp"

#include <fmt/format.h>

#include <cmath>

#include "control/json_reader.hpp"
#include "control/json_writer.hpp"

namespace appserver::control {

namespace json = boost::json;

namespace {

json::value write_gateway(const std::optional<GatewayStatus>& gateway) {
  if (!gateway) return nullptr;
  return json::object{{"clients", gateway->clients}, {"workers", gateway->workers},
                      {"waiting", gateway->waiting}, {"waiting_bytes", gateway->waiting_bytes},
                      {"lost", gateway->lost},       {"cut", gateway->cut}};
}

json::value write_links(const std::optional<LinkStatus>& links) {
  if (!links) return nullptr;
  return json::object{{"linked", links->linked}, {"known", links->known}};
}

GatewayStatus read_gateway(const JsonReader& in) {
  return {.clients = in.count("clients"),
          .workers = in.count("workers"),
          .waiting = in.count("waiting"),
          .waiting_bytes = in.count("waiting_bytes"),
          .lost = in.count("lost"),
          .cut = in.count("cut")};
}

json::object write_worker(const WorkerStatus& worker) {
  json::object metrics;
  for (const auto& [name, value] : worker.metrics) {
    metrics[name] = std::isfinite(value) ? as_json(value) : json::value(nullptr);
  }
  json::object out{
      {"slot", worker.slot},
      {"pid", worker.pid},
      {"state", to_word(worker.state)},
      {"generation", worker.generation},
      {"build", worker.build},
      {"uptime_seconds", worker.uptime.count()},
      {"requests", worker.requests},
      {"in_flight", worker.in_flight},
      {"connections", worker.connections},
      {"rss_bytes", worker.rss_bytes},
      {"restarts", worker.restarts},
      {"last_exit",
       or_null(worker.last_exit ? std::optional(clean(*worker.last_exit)) : std::nullopt)},
      {"next_try_seconds", nullptr},
      {"lends_to", or_null(worker.lends_to)},
      {"tls_handshakes", worker.tls_handshakes},
      {"tls_failed", worker.tls_failed},
      {"datagrams_received", worker.datagrams_received},
      {"datagrams_sent", worker.datagrams_sent},
      {"datagrams_dropped", worker.datagrams_dropped},
      {"gateway", write_gateway(worker.gateway)},
      {"links", write_links(worker.links)},
      {"metrics", std::move(metrics)},
      {"state_lost",
       or_null(worker.state_lost ? std::optional(clean(*worker.state_lost)) : std::nullopt)}};
  if (worker.next_try)
    out["next_try_seconds"] = as_json(static_cast<double>(worker.next_try->count()) / 1000);
  return out;
}

WorkerStatus read_worker(const JsonReader& in) {
  WorkerStatus worker;
  worker.slot = in.integer<std::uint32_t>("slot");
  worker.pid = in.integer<pid_t>("pid");
  worker.state = in.word("state", kWorkerStates);
  worker.generation = in.count("generation");
  worker.build = in.text("build");
  worker.uptime = std::chrono::seconds(in.integer<std::int64_t>("uptime_seconds"));
  worker.requests = in.count("requests");
  worker.in_flight = in.count("in_flight");
  worker.connections = in.count("connections");
  worker.rss_bytes = in.count("rss_bytes");
  worker.restarts = in.count("restarts");
  if (in.has("last_exit")) worker.last_exit = in.text("last_exit");
  if (in.has("next_try_seconds")) {
    const double seconds = in.number("next_try_seconds");
    // A cast of what does not fit an integer is undefined.
    if (!(seconds >= 0 && seconds < 1e12)) in.fail("next_try_seconds", "out of range");
    worker.next_try = std::chrono::milliseconds(std::llround(seconds * 1000));
  }
  if (in.has("lends_to")) worker.lends_to = in.integer<std::uint32_t>("lends_to");
  worker.tls_handshakes = in.count_or_0("tls_handshakes");
  worker.tls_failed = in.count_or_0("tls_failed");
  worker.datagrams_received = in.count_or_0("datagrams_received");
  worker.datagrams_sent = in.count_or_0("datagrams_sent");
  worker.datagrams_dropped = in.count_or_0("datagrams_dropped");
  if (in.has("gateway")) worker.gateway = read_gateway(in.object("gateway"));
  if (in.has("links")) {
    const JsonReader links = in.object("links");
    worker.links = LinkStatus{.linked = links.count("linked"), .known = links.count("known")};
  }
  for (const auto& member : in.object("metrics").members()) {
    if (member.value().is_null()) continue;
    const std::string name(member.key().data(), member.key().size());
    worker.metrics[name] = as_number(member.value(), in.place_of("metrics." + name));
  }
  if (in.has("state_lost")) worker.state_lost = in.text("state_lost");
  return worker;
}

json::value write_build(const std::optional<BuildStatus>& build) {
  if (!build) return nullptr;
  return json::object{{"sha256", build->sha256},
                      {"build_id", build->build_id},
                      {"name", build->name},
                      {"version", build->version},
                      {"abi", build->abi}};
}

BuildStatus read_build(const JsonReader& in) {
  return {.sha256 = in.text("sha256"),
          .build_id = in.text("build_id"),
          .name = in.text("name"),
          .version = in.text("version"),
          .abi = in.text("abi")};
}

json::value write_tls(const std::optional<TlsStatus>& tls) {
  if (!tls) return nullptr;
  json::array certificates;
  for (const CertificateStatus& each : tls->certificates) {
    certificates.push_back(json::object{
        {"file", clean(each.file)},
        {"names", list_of(each.names)},
        {"not_after", or_null(each.not_after)},
        {"state", to_word(each.state)},
        {"problem", or_null(each.problem ? std::optional(clean(*each.problem)) : std::nullopt)}});
  }
  return json::object{{"certificates", std::move(certificates)}};
}

TlsStatus read_tls(const JsonReader& in) {
  TlsStatus tls;
  for (const json::value& each : in.array("certificates")) {
    const JsonReader one{each,
                         in.place_of(fmt::format("certificates[{}]", tls.certificates.size()))};
    CertificateStatus& certificate = tls.certificates.emplace_back();
    certificate.file = one.text("file");
    certificate.names = one.texts("names");
    if (one.has("not_after")) certificate.not_after = one.text("not_after");
    certificate.state = one.word("state", kCertificateStates);
    if (one.has("problem")) certificate.problem = one.text("problem");
  }
  return tls;
}

json::object write_group(const GroupStatus& group) {
  json::array workers;
  for (const WorkerStatus& worker : group.workers) workers.push_back(write_worker(worker));
  return {{"name", group.name},
          {"reloadable", group.reloadable},
          {"listen", json::array(group.listen.begin(), group.listen.end())},
          {"plugin", group.plugin},
          {"count", group.count},
          {"ready", group.ready},
          {"build", write_build(group.build)},
          {"release", group.release},
          {"state", to_word(group.state)},
          {"recycled", group.recycled},
          {"restarts", group.restarts},
          {"reloading", group.reloading},
          {"tls", write_tls(group.tls)},
          {"workers", std::move(workers)}};
}

GroupStatus read_group(const JsonReader& in) {
  GroupStatus group;
  group.name = in.text("name");
  group.reloadable = in.flag("reloadable");
  group.listen = in.texts("listen");
  group.plugin = in.text("plugin");
  group.count = in.integer<std::uint32_t>("count");
  group.ready = in.integer<std::uint32_t>("ready");
  if (in.has("build")) group.build = read_build(in.object("build"));
  group.release = in.count_or_0("release");
  group.state = in.word("state", kGroupStates);
  group.recycled = in.count_or_0("recycled");
  group.restarts = in.count("restarts");
  group.reloading = in.flag("reloading");
  if (in.has("tls")) group.tls = read_tls(in.object("tls"));
  for (const json::value& each : in.array("workers")) {
    group.workers.push_back(
        read_worker({each, in.place_of(fmt::format("workers[{}]", group.workers.size()))}));
  }
  return group;
}

json::value write_bus(const std::optional<BusStatus>& bus) {
  if (!bus) return nullptr;
  return json::object{{"pid", bus->pid},
                      {"memory_bytes", bus->memory_bytes},
                      {"memory_limit_bytes", bus->memory_limit_bytes},
                      {"keys", bus->keys},
                      {"topics", bus->topics},
                      {"subscriptions", bus->subscriptions},
                      {"messages", bus->messages},
                      {"dropped", bus->dropped},
                      {"restarts", bus->restarts},
                      {"last_exit", or_null(bus->last_exit)}};
}

BusStatus read_bus(const JsonReader& in) {
  BusStatus bus;
  bus.pid = in.integer<pid_t>("pid");
  bus.memory_bytes = in.count("memory_bytes");
  bus.memory_limit_bytes = in.count("memory_limit_bytes");
  bus.keys = in.count("keys");
  bus.topics = in.count("topics");
  bus.subscriptions = in.count("subscriptions");
  bus.messages = in.count("messages");
  bus.dropped = in.count("dropped");
  bus.restarts = in.count("restarts");
  if (in.has("last_exit")) bus.last_exit = in.text("last_exit");
  return bus;
}

DaemonStatus read_daemon(const JsonReader& in) {
  DaemonStatus daemon;
  daemon.version = in.text("version");
  daemon.pid = in.integer<pid_t>("pid");
  daemon.uptime = std::chrono::seconds(in.integer<std::int64_t>("uptime_seconds"));
  if (in.has("config")) daemon.config = in.text("config");
  daemon.state = in.word("state", kDaemonStates);
  daemon.control_socket = in.text("control_socket");
  daemon.release = in.count_or_0("release");
  return daemon;
}

}  // namespace

json::value to_json(const Status& status) {
  json::array groups;
  for (const GroupStatus& group : status.groups) groups.push_back(write_group(group));
  return json::object{{"daemon",
                       {{"version", status.daemon.version},
                        {"pid", status.daemon.pid},
                        {"uptime_seconds", status.daemon.uptime.count()},
                        {"config", or_null(status.daemon.config)},
                        {"state", to_word(status.daemon.state)},
                        {"control_socket", status.daemon.control_socket},
                        {"release", status.daemon.release}}},
                      {"rollout", status.rollout ? to_json(*status.rollout) : json::value(nullptr)},
                      {"notes", list_of(status.notes)},
                      {"bus", write_bus(status.bus)},
                      {"groups", std::move(groups)}};
}

Status status_from_json(const json::value& value) {
  const JsonReader in(value, "");
  Status status;
  status.daemon = read_daemon(in.object("daemon"));
  if (in.has("rollout")) status.rollout = rollout_from_json(in.at("rollout"));
  if (in.has("bus")) status.bus = read_bus(in.object("bus"));
  if (in.has("notes")) status.notes = in.texts("notes");
  for (const json::value& each : in.array("groups")) {
    status.groups.push_back(read_group({each, fmt::format("groups[{}]", status.groups.size())}));
  }
  return status;
}

json::value to_json(const Version& version) {
  return json::object{{"version", version.version}, {"pid", version.pid}};
}

Version version_from_json(const json::value& value) {
  const JsonReader in(value, "");
  return {.version = in.text("version"), .pid = in.integer<pid_t>("pid")};
}

json::value to_json(const ErrorReply& reply) {
  return json::object{{"error", reply.error}, {"hint", reply.hint}};
}

ErrorReply error_from_json(const json::value& value) {
  const JsonReader in(value, "");
  return {.error = in.text("error"), .hint = in.has("hint") ? in.text("hint") : std::string()};
}

}  // namespace appserver::control
