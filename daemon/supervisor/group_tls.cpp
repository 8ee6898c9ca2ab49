// The certificates of a Group.
#include <algorithm>

#include "supervisor/group.hpp"

namespace appserver::supervisor {

TlsMaterialPtr Group::tls_of(const GroupRelease& release) const {
  const auto found =
      std::ranges::find(tls_, release.config.tls, &std::pair<config::Tls, TlsMaterialPtr>::first);
  return found == tls_.end() ? nullptr : found->second;
}

void Group::renew_tls(const config::Tls& tls, TlsMaterialPtr material) {
  std::erase_if(tls_, [this](const auto& each) {
    return each.first != committed_->config.tls && (!target_ || each.first != target_->config.tls);
  });
  if (!material) return;
  const auto found = std::ranges::find(tls_, tls, &std::pair<config::Tls, TlsMaterialPtr>::first);
  if (found == tls_.end()) {
    tls_.emplace_back(tls, std::move(material));
    return;
  }
  // A release that goes back has what was read for it; where nothing is served otherwise than
  // before, workers need not know.
  if (material->read <= found->second->read) return;
  found->second = std::move(material);
  if (found->second->as_before) return;
  channel::Message message;
  message.kind = channel::Kind::certificates;
  for (const auto& [id, view] : machine_.workers()) {
    WorkerProcess* const process = find(id);
    if (process == nullptr || config_of(view.release).tls != tls) continue;
    process->send(message, {found->second->file.get()});
  }
}

}  // namespace appserver::supervisor
