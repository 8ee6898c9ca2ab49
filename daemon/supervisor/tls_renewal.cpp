#include "supervisor/tls_renewal.hpp"

#include <chrono>
#include <exception>
#include <utility>

namespace appserver::supervisor {

// One look at the files of all groups; filled on the keeper's thread.
struct TlsRenewal::Look {
  struct Group {
    InUse in_use;
    TlsMaterialPtr renewed{};
    std::string problem{};
  };

  void run() {
    const auto now = std::chrono::system_clock::now();
    for (Group& group : groups) {
      const TlsMaterial& before = *group.in_use.material;
      const bool is_due = before.again && *before.again <= now;
      if (look_at(group.in_use.tls) == before.files && !is_due) continue;
      try {
        group.renewed = load_what_serves(group.in_use.tls, &before);
      } catch (const std::exception& error) {
        group.problem = error.what();
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
    look->groups.push_back({std::move(in_use)});
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
                self.hooks_.looked();
                if (std::exchange(self.again_, false)) {
                  self.look();
                } else {
                  self.wait();
                }
              });
}

void TlsRenewal::looked(const Look& look) {
  for (const Look::Group& group : look.groups) {
    const std::string name = group.in_use.group + group.in_use.tls.secret_file.native();
    if (group.renewed) {
      failed_.erase(name);
      hooks_.renewed(group.in_use, group.renewed);
    } else if (!group.problem.empty() &&
               std::exchange(failed_[name], group.problem) != group.problem) {
      hooks_.failed(group.in_use, group.problem);
    }
  }
}

}  // namespace appserver::supervisor
