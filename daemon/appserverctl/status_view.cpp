#include "appserverctl/status_view.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "appserverctl/rollout_view.hpp"
#include "appserverctl/table.hpp"
#include "appserverctl/text.hpp"

namespace appserver::appserverctl {

namespace {

using control::BuildStatus;
using control::GroupStatus;
using control::WorkerStatus;

std::string daemon_line(const control::DaemonStatus& daemon) {
  const std::string line = fmt::format(
      "appserverd {}  pid {}  up {}  {}  socket {}  state {}", escaped(daemon.version), daemon.pid,
      human_duration(daemon.uptime),
      daemon.config ? "config " + escaped(*daemon.config) : std::string("without a config file"),
      escaped(daemon.control_socket), to_word(daemon.state));
  return line + (daemon.release > 0 ? fmt::format("  release {}\n", daemon.release) : "\n");
}

std::string bus_line(const control::BusStatus& bus) {
  const std::string who = bus.pid != 0 ? fmt::format("pid {}", bus.pid) : "waits to be restarted";
  const std::string line = fmt::format(
      "bus  {}  memory {}/{}  keys {}  topics {}  subscriptions {}  messages {}  dropped {}  "
      "restarts {}",
      who, human_bytes(bus.memory_bytes), human_bytes(bus.memory_limit_bytes),
      human_count(bus.keys), human_count(bus.topics), human_count(bus.subscriptions),
      human_count(bus.messages), human_count(bus.dropped), bus.restarts);
  return line + (bus.last_exit ? "  last exit: " + escaped(*bus.last_exit) + "\n" : "\n");
}

std::uint64_t sum(const GroupStatus& group, std::uint64_t WorkerStatus::*count) {
  std::uint64_t all = 0;
  for (const WorkerStatus& worker : group.workers) all += worker.*count;
  return all;
}

std::string tls_line(const GroupStatus& group) {
  const auto& certificates = group.tls->certificates;
  std::string words = fmt::format("tls  {}", group.name);
  const control::CertificateStatus* next = nullptr;
  for (const control::CertificateStatus& each : certificates) {
    if (each.state != control::CertificateState::ok)
      words += fmt::format("  {} {}", escaped(each.file), to_word(each.state));
    // These texts sort as the times do.
    if (each.not_after && (next == nullptr || *each.not_after < *next->not_after)) next = &each;
  }
  if (next != nullptr) {
    words += fmt::format("  {} until {}", escaped(next->file), escaped(*next->not_after));
    if (certificates.size() > 1) words += fmt::format(", of {} the first", certificates.size());
  }
  return words + fmt::format("  handshakes {}  failed {}\n",
                             human_count(sum(group, &WorkerStatus::tls_handshakes)),
                             human_count(sum(group, &WorkerStatus::tls_failed)));
}

std::string udp_line(const GroupStatus& group) {
  return fmt::format("udp  {}  received {}  sent {}  dropped {}\n", group.name,
                     human_count(sum(group, &WorkerStatus::datagrams_received)),
                     human_count(sum(group, &WorkerStatus::datagrams_sent)),
                     human_count(sum(group, &WorkerStatus::datagrams_dropped)));
}

std::uint64_t sum_of(const GroupStatus& group, std::uint64_t control::GatewayStatus::*counter) {
  std::uint64_t sum = 0;
  for (const WorkerStatus& worker : group.workers) {
    if (worker.gateway) sum += (*worker.gateway).*counter;
  }
  return sum;
}

bool is_gateway(const GroupStatus& group) {
  return std::ranges::any_of(group.workers,
                             [](const auto& each) { return each.gateway.has_value(); });
}

// The fewest business workers that one of its workers can give events to.
std::uint64_t fewest_workers(const GroupStatus& group) {
  std::optional<std::uint64_t> fewest;
  for (const WorkerStatus& worker : group.workers) {
    if (worker.gateway) fewest = std::min(fewest.value_or(UINT64_MAX), worker.gateway->workers);
  }
  return fewest.value_or(0);
}

std::string gateway_line(const GroupStatus& group) {
  using control::GatewayStatus;
  return fmt::format(
      "gateway  {}  clients {}  business workers {}  waiting {} ({})  lost {}  cut {}\n",
      group.name, human_count(sum_of(group, &GatewayStatus::clients)), fewest_workers(group),
      human_count(sum_of(group, &GatewayStatus::waiting)),
      human_bytes(sum_of(group, &GatewayStatus::waiting_bytes)),
      human_count(sum_of(group, &GatewayStatus::lost)),
      human_count(sum_of(group, &GatewayStatus::cut)));
}

// Of the worker that lacks most; empty where none is of a business group.
std::string links_line(const GroupStatus& group) {
  std::optional<control::LinkStatus> worst;
  for (const WorkerStatus& worker : group.workers) {
    if (!worker.links || worker.state == control::WorkerState::draining) continue;
    const auto missing = [](const control::LinkStatus& links) {
      return links.known - std::min(links.linked, links.known);
    };
    if (!worst || missing(*worker.links) > missing(*worst)) worst = worker.links;
  }
  if (!worst) return {};
  return fmt::format("links    {}  gateway workers {} of {}\n", group.name, worst->linked,
                     worst->known);
}

bool takes_datagrams(const GroupStatus& group) {
  return std::ranges::any_of(group.listen,
                             [](const auto& address) { return address.starts_with("udp://"); });
}

std::string build_cell(const std::optional<BuildStatus>& build) {
  if (!build) return {};
  return fmt::format("{} {} {}", build->name, build->version, short_build(build->sha256));
}

std::string reload_cell(const GroupStatus& group) {
  if (group.reloading) return "running";
  return group.reloadable ? "yes" : "no";
}

std::vector<std::string> group_row(const GroupStatus& group) {
  std::uint64_t requests = 0;
  std::uint64_t connections = 0;
  std::uint64_t rss = 0;
  for (const WorkerStatus& worker : group.workers) {
    requests += worker.requests;
    connections += worker.connections;
    rss += worker.rss_bytes;
  }
  return {group.name,
          fmt::format("{}", fmt::join(group.listen, ",")),
          std::to_string(group.count),
          std::to_string(group.ready),
          build_cell(group.build),
          group.release > 0 ? std::to_string(group.release) : std::string(),
          reload_cell(group),
          human_count(requests),
          human_count(connections),
          human_bytes(rss),
          std::to_string(group.restarts),
          std::string(to_word(group.state))};
}

// Why the worker before this one ended, and what happens next to the slot.
std::string exit_cell(const WorkerStatus& worker) {
  std::string text = worker.last_exit.value_or("");
  const auto add = [&](const std::string& more) { text += text.empty() ? more : ", " + more; };
  if (worker.next_try) {
    add(fmt::format("next try in {:.1f}s",
                    std::chrono::duration<double>(*worker.next_try).count()));
  }
  if (worker.lends_to) add(fmt::format("slot {} accepts for it", *worker.lends_to));
  return text;
}

std::vector<std::string> worker_row(const GroupStatus& group, const WorkerStatus& worker) {
  const bool alive = worker.pid != 0;
  const auto if_alive = [&](std::string text) { return alive ? std::move(text) : std::string(); };
  return {fmt::format("{}/{}", group.name, worker.slot),
          if_alive(std::to_string(worker.pid)),
          std::string(to_word(worker.state)),
          short_build(worker.build),
          std::to_string(worker.generation),
          if_alive(human_duration(worker.uptime)),
          if_alive(human_count(worker.requests)),
          if_alive(human_count(worker.in_flight)),
          if_alive(human_count(worker.connections)),
          if_alive(human_bytes(worker.rss_bytes)),
          std::to_string(worker.restarts),
          exit_cell(worker)};
}

}  // namespace

std::string short_build(std::string_view sha256) { return std::string(sha256.substr(0, 7)); }

std::string print_status(const control::Status& status) {
  std::vector<std::vector<std::string>> groups;
  std::vector<std::vector<std::string>> workers;
  for (const GroupStatus& group : status.groups) {
    groups.push_back(group_row(group));
    for (const WorkerStatus& worker : group.workers) workers.push_back(worker_row(group, worker));
  }
  std::string out = daemon_line(status.daemon);
  if (status.bus) out += bus_line(*status.bus);
  if (status.rollout) out += print_rollout_line(*status.rollout) + "\n";
  const std::string group_table = print_table({{"GROUP"},
                                               {"LISTEN"},
                                               {"WORKERS", true},
                                               {"READY", true},
                                               {"BUILD"},
                                               {"REL", true},
                                               {"RELOAD"},
                                               {"REQS", true},
                                               {"CONN", true},
                                               {"RSS", true},
                                               {"RESTARTS", true},
                                               {"STATE"}},
                                              groups);
  const std::string worker_table = print_table({{"SLOT"},
                                                {"PID", true},
                                                {"STATE"},
                                                {"BUILD"},
                                                {"GEN", true},
                                                {"UP", true},
                                                {"REQS", true},
                                                {"INFLIGHT", true},
                                                {"CONN", true},
                                                {"RSS", true},
                                                {"RESTARTS", true},
                                                {"LAST EXIT"}},
                                               workers);
  if (!group_table.empty()) out += "\n" + group_table;
  std::string more;
  for (const GroupStatus& group : status.groups) {
    if (group.tls) more += tls_line(group);
    if (takes_datagrams(group)) more += udp_line(group);
    if (is_gateway(group)) more += gateway_line(group);
    more += links_line(group);
  }
  if (!more.empty()) out += "\n" + more;
  if (!worker_table.empty()) out += "\n" + worker_table;
  std::string lost;
  for (const GroupStatus& group : status.groups) {
    for (const WorkerStatus& worker : group.workers) {
      if (!worker.state_lost) continue;
      lost += fmt::format("! {}/{} began without the state of the worker before it: {}\n",
                          escaped(group.name), worker.slot, escaped_text(*worker.state_lost));
    }
  }
  if (!status.notes.empty() || !lost.empty()) out += "\n";
  out += lost;
  for (const std::string& note : status.notes) out += "! " + escaped_text(note) + "\n";
  return out;
}

}  // namespace appserver::appserverctl
