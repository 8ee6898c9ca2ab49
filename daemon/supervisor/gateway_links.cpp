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
    if (other->has_left()) continue;
    if (is_gateway) {
      link(worker, other);
    } else {
      link(other, worker);
    }
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

void GatewayLinks::want(const std::shared_ptr<WorkerProcess>& worker, std::uint64_t number) {
  const auto found = made_.find(number);
  if (found == made_.end() || found->second.business.lock() != worker) return;
  const auto gateway = found->second.gateway.lock();
  const auto age = std::chrono::steady_clock::now() - found->second.when;
  if (!gateway || age < kLeastLife) return;
  made_.erase(found);
  if (!gateway->has_left() && !worker->has_left()) link(gateway, worker);
}

void GatewayLinks::link(const std::shared_ptr<WorkerProcess>& gateway,
                        const std::shared_ptr<WorkerProcess>& business) {
  std::erase_if(made_, [](const auto& each) {
    return each.second.gateway.expired() || each.second.business.expired();
  });
  try {
    const auto [of_gateway, of_business] = os::make_socket_pair(SOCK_STREAM);
    channel::Message message;
    message.kind = channel::Kind::link;
    message.number = ++last_;
    made_[last_] = {gateway, business, std::chrono::steady_clock::now()};
    gateway->send(message, {of_gateway.get()});
    business->send(message, {of_business.get()});
  } catch (const std::exception& error) {
    log_.error(
        "{}/{}, pid {}, cannot be linked to {}/{}, pid {}: {}; `appserverctl restart {}` "
        "tries it again",
        business->group(), business->slot(), business->pid(), gateway->group(), gateway->slot(),
        gateway->pid(), error.what(), business->group());
  }
}

}  // namespace appserver::supervisor
