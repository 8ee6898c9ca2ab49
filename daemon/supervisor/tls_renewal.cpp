#include "supervisor/tls_renewal.hpp"

#include <exception>
#include <utility>

#include "os/error.hpp"

namespace appserver::supervisor {

// One look at the files of all groups; filled on the keeper's thread.
struct TlsRenewal::Look {
  struct Group {
    InUse in_use;
    std::vector<FileState> refused{};
    std::vector<FileState> found{};
    TlsMaterialPtr renewed{};
    std::string problem{};
    bool is_passing = false;  // the problem is not of the files' content
  };

  void run() {
    for (Group& group : groups) {
      group.found = look_at(group.in_use.tls);
      if (group.found == group.in_use.material->files || group.found == group.refused) continue;
      try {
        group.renewed = load_tls(group.in_use.tls);
      } catch (const std::exception& error) {
        group.problem = error.what();
        group.is_passing = dynamic_cast<const os::SystemError*>(&error) != nullptr;
      }
    }
  }

  std::vector<Group> groups;
};

TlsRenewal::TlsRenewal(boost::asio::io_context& io, ArchiveKeeper& keeper, Hooks hooks)
    : timer_(io), keeper_(keeper), hooks_(std::move(hooks)) {}

TlsRenewal::~TlsRenewal() { *alive_ = nullptr; }

void TlsRenewal::stop() {
  stopped_ = true;
  timer_.cancel();
}

void TlsRenewal::wait() {
  if (stopped_) return;
  timer_.expires_after(kInterval);
  timer_.async_wait([alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive != nullptr) (*alive)->look();
  });
}

void TlsRenewal::look() {
  if (stopped_) return;
  again_ = looking_;
  if (looking_) return;
  auto look = std::make_shared<Look>();
  for (InUse& in_use : hooks_.in_use()) {
    const auto refused = refused_.find(in_use.group);
    look->groups.push_back({std::move(in_use)});
    if (refused != refused_.end()) look->groups.back().refused = refused->second.files;
  }
  if (look->groups.empty()) {
    wait();
    return;
  }
  looking_ = true;
  keeper_.run([look](Archive&, const ArchiveKeeper::GivenUp&) { look->run(); },
              ArchiveKeeper::kLimit,
              [alive = alive_, look](const std::string& problem) {
                if (*alive == nullptr) return;
                TlsRenewal& self = **alive;
                self.looking_ = false;
                // A file system that hangs is looked at again, later; the thread may still be at
                // it.
                if (problem.empty()) self.looked(*look);
                if (std::exchange(self.again_, false)) {
                  self.look();
                } else {
                  self.wait();
                }
              });
}

void TlsRenewal::looked(const Look& look) {
  for (const Look::Group& group : look.groups) {
    const std::string& name = group.in_use.group;
    if (group.renewed) {
      refused_.erase(name);
      hooks_.renewed(group.in_use, group.renewed);
    } else if (!group.problem.empty()) {
      Refused& refused = refused_[name];
      refused.files = group.is_passing ? std::vector<FileState>() : group.found;
      if (std::exchange(refused.why, group.problem) == group.problem) continue;
      hooks_.refused(group.in_use, group.problem);
    } else if (group.found == group.in_use.material->files && refused_.erase(name) > 0) {
      hooks_.withdrawn(name);
    }
  }
}

}  // namespace appserver::supervisor
