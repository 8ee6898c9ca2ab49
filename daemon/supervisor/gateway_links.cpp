#include "supervisor/gateway_links.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <exception>

#include "os/message_socket.hpp"

namespace appserver::supervisor {

void GatewayLinks::started(const std::shared_ptr<WorkerProcess>& worker) {
  if (worker->kind() == config::GroupKind::plain) return;
  std::erase_if(members_, [](const Member& each) { return each.worker.expired(); });
  const bool is_gateway = worker->kind() == config::GroupKind::gateway;
  Member fresh{is_gateway ? worker->group() : worker->of_gateway(), is_gateway, worker};
  const bool is_member = std::ranges::any_of(
      members_, [&](const Member& each) { return each.worker.lock() == worker; });
  if (is_member) return;
  for (const Member& each : members_) {
    if (each.gateway != fresh.gateway || each.is_gateway == is_gateway) continue;
    const auto other = each.worker.lock();
    if (!other->has_left()) link(*worker, *other);
  }
  members_.push_back(std::move(fresh));
}

std::vector<std::shared_ptr<WorkerProcess>> GatewayLinks::workers_of(
    const std::string& gateway) const {
  std::vector<std::shared_ptr<WorkerProcess>> workers;
  for (const Member& each : members_) {
    auto worker = each.worker.lock();
    if (each.is_gateway && each.gateway == gateway && worker && !worker->has_left())
      workers.push_back(std::move(worker));
  }
  return workers;
}

void GatewayLinks::link(WorkerProcess& one, WorkerProcess& other) {
  try {
    const auto [of_one, of_other] = os::make_socket_pair(SOCK_STREAM);
    channel::Message message;
    message.kind = channel::Kind::link;
    one.send(message, {of_one.get()});
    other.send(message, {of_other.get()});
  } catch (const std::exception& error) {
    log_.error(
        "{}/{}, pid {}, cannot be linked to {}/{}, pid {}: {}; `appserverctl restart {}` "
        "tries it again",
        one.group(), one.slot(), one.pid(), other.group(), other.slot(), other.pid(), error.what(),
        one.group());
  }
}

}  // namespace appserver::supervisor
