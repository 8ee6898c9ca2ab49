// The certificates of a Group.
#include <algorithm>
#include <utility>
#include <vector>

#include "supervisor/group.hpp"

namespace appserver::supervisor {

namespace {

using Read = std::pair<config::Tls, TlsMaterialPtr>;

TlsMaterialPtr find_material(const std::vector<Read>& read, const config::Tls& tls) {
  const auto found = std::ranges::find(read, tls, &Read::first);
  return found == read.end() ? nullptr : found->second;
}

bool uses(const GroupRelease& release, const config::Tls& tls) {
  return release.config.tls == tls || release.config.link.tls == tls;
}

}  // namespace

TlsMaterialPtr Group::tls_of(const GroupRelease& release) const {
  return find_material(tls_, release.config.tls);
}

TlsMaterialPtr Group::link_of(const GroupRelease& release) const {
  return find_material(tls_, release.config.link.tls);
}

void Group::renew_tls(const config::Tls& tls, TlsMaterialPtr material) {
  std::erase_if(tls_, [this](const Read& each) {
    return !uses(*committed_, each.first) && (!target_ || !uses(*target_, each.first));
  });
  if (!material) return;
  const auto found = std::ranges::find(tls_, tls, &Read::first);
  if (found == tls_.end()) {
    tls_.emplace_back(tls, std::move(material));
    return;
  }
  // A release that goes back has what was read for it; where nothing is served otherwise than
  // before, workers need not know.
  if (material->read <= found->second->read) return;
  found->second = std::move(material);
  if (found->second->as_before) return;
  for (const auto& [id, view] : machine_.workers()) {
    WorkerProcess* const process = find(id);
    if (process == nullptr) continue;
    const config::Group& config = config_of(view.release);
    channel::Message message;
    message.kind = config.tls == tls ? channel::Kind::certificates : channel::Kind::link_keys;
    if (config.tls == tls || config.link.tls == tls)
      process->send(message, {found->second->file.get()});
  }
}

}  // namespace appserver::supervisor
