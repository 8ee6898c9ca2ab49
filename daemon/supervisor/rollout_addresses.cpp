// What a Rollout is to listen on, before anything that runs is touched.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/listen.hpp"
#include "supervisor/listen_socket.hpp"
#include "supervisor/rollout.hpp"

namespace appserver::supervisor {

// What the kernel chose for a port 0 cannot be opened again by its number.
void Rollout::check_given_ports() const {
  for (const GroupPlan& plan : prepared_.plan) {
    if (!plan.target) continue;
    for (const config::Listen& listen : plan.target->config.addresses()) {
      for (const auto& group : targets_.groups) {
        const auto own = group->release()->config.addresses();
        if (std::ranges::find(own, listen) != own.end()) continue;
        const std::vector<std::string> open = group->status().listen;
        const auto found = std::ranges::find_if(open, [&listen](const std::string& text) {
          const auto address = config::parse_listen(text, "/");
          return address && (*address).overlaps(listen);
        });
        if (found == open.end()) continue;
        throw std::runtime_error(fmt::format(
            "groups.{}.listen: {} is what the kernel has given group {} for port 0, and cannot be "
            "opened a second time: keep port 0 there, name another port, or restart appserverd",
            plan.name, *found, group->name()));
      }
    }
  }
}

// As open_groups(), without taking clients.
void Rollout::check_addresses() const {
  for (const GroupPlan& plan : prepared_.plan) {
    if (!plan.target) continue;
    const Group* group = find(plan.name);
    const std::vector<config::Listen> open =
        group == nullptr ? std::vector<config::Listen>{} : group->release()->config.addresses();
    for (const config::Listen& listen : plan.target->config.addresses()) {
      if (listen.is_unix() || std::ranges::find(open, listen) != open.end()) continue;
      try {
        ensure_free(listen);
      } catch (const std::exception& error) {
        throw std::runtime_error(fmt::format("groups.{}: {}", plan.name, error.what()));
      }
    }
  }
}

// Everything that may be refused by the kernel comes before anything that runs is touched.
void Rollout::open_groups() {
  for (const GroupPlan& plan : prepared_.plan) {
    try {
      if (plan.change == Change::add) added_[plan.name] = targets_.make_group(plan.target);
      if (plan.change == Change::roll) find(plan.name)->open_for(plan.target->config);
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("groups.{}: {}", plan.name, error.what()));
    }
  }
}

}  // namespace appserver::supervisor
