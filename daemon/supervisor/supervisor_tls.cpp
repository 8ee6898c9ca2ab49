// The certificates of the groups, as the Supervisor brings them about.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "supervisor/supervisor.hpp"
#include "supervisor/tls_notes.hpp"

namespace appserver::supervisor {

std::vector<Supervisor::Served> Supervisor::served_material() const {
  std::vector<Served> result;
  for (const auto& group : groups_) {
    const GroupRelease& release = *group->release();
    if (TlsMaterialPtr tls = group->tls_of(release))
      result.push_back({group.get(), group->name() + ": tls", release.config.tls, std::move(tls)});
    if (TlsMaterialPtr link = group->link_of(release)) {
      result.push_back(
          {group.get(), group->name() + ": link", release.config.link.tls, std::move(link)});
    }
  }
  return result;
}

// They are so as long as the certificates are in use, whatever rollouts come and go.
void Supervisor::add_tls_notes(std::vector<std::string>& notes) const {
  for (const Served& served : served_material()) {
    for (const TlsNote& note : notes_of(*served.material, tls_now()))
      notes.push_back(fmt::format("{}: {}", served.what, note.text));
  }
}

// Each once, and again when it comes back.
void Supervisor::tell_of_certificates() {
  std::set<std::string> told;
  for (const Served& served : served_material()) {
    for (const TlsNote& note : notes_of(*served.material, tls_now())) {
      const auto [about, is_new] = told.insert(served.what + ": " + note.about);
      if (!is_new || told_of_tls_.contains(*about)) continue;
      const auto level = note.is_error ? telemetry::Level::error : telemetry::Level::warning;
      log_.write(level, {}, fmt::format("{}: {}", served.what, note.text));
    }
  }
  told_of_tls_ = std::move(told);
}

void Supervisor::watch_certificates() {
  TlsRenewal::Hooks hooks;
  hooks.in_use = [this] {
    std::vector<TlsRenewal::InUse> result;
    for (Served& served : served_material()) {
      result.push_back({served.group->name(), std::move(served.tls), std::move(served.material)});
    }
    return result;
  };
  hooks.renewed = [this](const TlsRenewal::InUse& before, TlsMaterialPtr material) {
    Group* const group = find(before.group);
    // What a rollout has brought meanwhile is compared with the files at the next look.
    if (group == nullptr) return;
    const bool is_tls = group->tls_of(*group->release()) == before.material;
    if (!is_tls && group->link_of(*group->release()) != before.material) return;
    if (!material->as_before && is_tls) {
      log_.info("{}: its certificates have changed; new connections get them", before.group);
    } else if (!material->as_before) {
      log_.info("{}: the files of its link have changed; new links are made with them",
                before.group);
    }
    group->renew_tls(before.tls, std::move(material));
  };
  hooks.failed = [this](const TlsRenewal::InUse& before, const std::string& why) {
    log_.error("{}: tls: its files have changed and cannot be taken in: {}; tried again every {} s",
               before.group, why, TlsRenewal::kInterval.count());
  };
  hooks.looked = [this] { tell_of_certificates(); };
  renewal_ = std::make_unique<TlsRenewal>(io_, *keeper_, std::move(hooks));
  tell_of_certificates();
  renewal_->look();
}

}  // namespace appserver::supervisor
