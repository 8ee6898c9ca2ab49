// The certificates of the groups, as the Supervisor brings them about.
#include <fmt/format.h>

#include <algorithm>

#include "supervisor/supervisor.hpp"

namespace appserver::supervisor {
namespace {

// Of a group's notes, those that are about its certificates.
std::string subject(const std::string& group) { return group + ": tls: "; }

}  // namespace

// They are so as long as the certificates are in use, whatever rollouts come and go.
void Supervisor::add_tls_warnings(std::vector<std::string>& notes) const {
  for (const auto& group : groups_) {
    const TlsMaterialPtr material = group->tls_of(*group->release());
    if (!material) continue;
    for (const auto& warning : material->warnings) {
      std::string note = subject(group->name()) + warning;
      if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
    }
  }
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
    if (group == nullptr || group->release()->config.tls != before.tls) return;
    forget_notes(subject(before.group));
    log_.info("{}: its certificates have changed; new connections get them", before.group);
    for (const auto& warning : material->warnings)
      log_.warning("{}{}", subject(before.group), warning);
    group->renew_tls(before.tls, std::move(material));
  };
  hooks.refused = [this](const TlsRenewal::InUse& before, const std::string& why) {
    const Group* const group = find(before.group);
    if (group == nullptr || group->release()->config.tls != before.tls) return;
    const bool has_none = before.material->files.empty();
    forget_notes(subject(before.group));
    notes_.push_back(
        has_none ? fmt::format("{}{}; until that is mended nothing is served under TLS",
                               subject(before.group), why)
                 : fmt::format("{}the files have changed and are no good: {}; what was read before "
                               "stays in use",
                               subject(before.group), why));
    log_.error("{}", notes_.back());
  };
  hooks.withdrawn = [this](const std::string& group) {
    forget_notes(subject(group));
    log_.info("{}: its certificates are again those in use", group);
  };
  renewal_ = std::make_unique<TlsRenewal>(io_, *keeper_, std::move(hooks));
  renewal_->look();
}

}  // namespace appserver::supervisor
