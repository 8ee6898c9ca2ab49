// The certificates of the groups, as the Supervisor brings them about.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "supervisor/supervisor.hpp"
#include "supervisor/tls_notes.hpp"

namespace appserver::supervisor {

// They are so as long as the certificates are in use, whatever rollouts come and go.
void Supervisor::add_tls_notes(std::vector<std::string>& notes) const {
  for (const auto& group : groups_) {
    const TlsMaterialPtr material = group->tls_of(*group->release());
    if (!material) continue;
    for (const TlsNote& note : notes_of(*material, tls_now()))
      notes.push_back(fmt::format("{}: tls: {}", group->name(), note.text));
  }
}

// Each once, and again when it comes back.
void Supervisor::tell_of_certificates() {
  std::set<std::string> told;
  for (const auto& group : groups_) {
    const TlsMaterialPtr material = group->tls_of(*group->release());
    if (!material) continue;
    for (const TlsNote& note : notes_of(*material, tls_now())) {
      const auto [about, is_new] = told.insert(group->name() + ": " + note.about);
      if (!is_new || told_of_tls_.contains(*about)) continue;
      const auto level = note.is_error ? telemetry::Level::error : telemetry::Level::warning;
      log_.write(level, {}, fmt::format("{}: tls: {}", group->name(), note.text));
    }
  }
  told_of_tls_ = std::move(told);
}

void Supervisor::watch_certificates() {
  TlsRenewal::Hooks hooks;
  hooks.in_use = [this] {
    std::vector<TlsRenewal::InUse> result;
    for (const auto& group : groups_) {
      const config::Tls& tls = group->release()->config.tls;
      if (TlsMaterialPtr material = group->tls_of(*group->release()))
        result.push_back({group->name(), tls, std::move(material)});
    }
    return result;
  };
  hooks.renewed = [this](const TlsRenewal::InUse& before, TlsMaterialPtr material) {
    Group* const group = find(before.group);
    // What a rollout has brought meanwhile is compared with the files at the next look.
    if (group == nullptr || group->tls_of(*group->release()) != before.material) return;
    if (!material->as_before) {
      log_.info("{}: its certificates have changed; new connections get them", before.group);
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
