// "fd/1" of a host in memory: real descriptors, looked at when the test asks for it.
#pragma once

#include <appserver/abi/fd.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <appserver/detail/testing/core.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace appserver::testing {

class FdHost final : public Extension {
 public:
  // As in a worker.
  static constexpr std::size_t kMostWatches = 1000;

  static constexpr const char* kName = APPSERVER_FD;
  static const void* table() noexcept {
    static constexpr appserver_fd_host kTable{sizeof(appserver_fd_host), 0, &watch, &change,
                                              &unwatch};
    return &kTable;
  }
  using Extension::Extension;

  void detach() override {
    ended_ = true;
    watches_.clear();
  }
  std::size_t watches() const { return watches_.size(); }

  // Waits until some of the descriptors are ready, and calls for each of these once. False where
  // none is by then.
  bool poll(milliseconds deadline) {
    std::vector<pollfd> polled;
    std::vector<appserver_fd_watch> ids;
    for (const auto& [id, each] : watches_) {
      if (each.events == 0) continue;
      polled.push_back({each.fd, to_poll(each.events), 0});
      ids.push_back(id);
    }
    if (polled.empty()) return false;
    const int ready = ::poll(polled.data(), polled.size(), static_cast<int>(deadline.count()));
    if (ready <= 0) return false;
    for (std::size_t i = 0; i < polled.size(); ++i) call(ids[i], polled[i]);
    return true;
  }

 private:
  using Call = void (*)(void*, std::uint32_t) APPSERVER_NOEXCEPT;
  struct Watch {
    int fd;
    std::uint32_t events;
    Call call;
    void* argument;
  };
  static constexpr std::uint32_t kKnown = APPSERVER_FD_READ | APPSERVER_FD_WRITE;

  static short to_poll(std::uint32_t events) {
    const int raw = ((events & APPSERVER_FD_READ) != 0 ? POLLIN : 0) |
                    ((events & APPSERVER_FD_WRITE) != 0 ? POLLOUT : 0);
    return static_cast<short>(raw);
  }
  void call(appserver_fd_watch id, const pollfd& polled) {
    // A call before this one may have ended or changed it.
    const auto found = watches_.find(id);
    if (found == watches_.end() || (polled.revents & POLLNVAL) != 0) return;
    std::uint32_t ready = 0;
    if ((polled.revents & POLLIN) != 0) ready |= APPSERVER_FD_READ;
    if ((polled.revents & POLLOUT) != 0) ready |= APPSERVER_FD_WRITE;
    if ((polled.revents & (POLLERR | POLLHUP)) != 0) ready = kKnown;
    ready &= found->second.events;
    if (ready != 0) found->second.call(found->second.argument, ready);
  }

  static FdHost& of(appserver_worker* worker) { return Core::of(worker).extension<FdHost>(); }

  static std::int32_t watch(appserver_worker* worker, std::int32_t fd, std::uint32_t events,
                            Call call, void* argument, appserver_fd_watch* watch) noexcept {
    FdHost& host = of(worker);
    if (host.ended_) return APPSERVER_GONE;
    struct stat file {};
    const bool can_wait =
        ::fstat(fd, &file) == 0 && !S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode);
    const bool watched = std::any_of(host.watches_.begin(), host.watches_.end(),
                                     [&](const auto& each) { return each.second.fd == fd; });
    if (!host.core().on_loop() || !can_wait || watched || (events & ~kKnown) != 0 ||
        call == nullptr)
      return APPSERVER_INVALID;
    if (host.watches_.size() >= kMostWatches) return APPSERVER_LIMIT;
    *watch = ++host.last_;
    host.watches_[*watch] = {fd, events, call, argument};
    return APPSERVER_OK;
  }
  static std::int32_t change(appserver_worker* worker, appserver_fd_watch watch,
                             std::uint32_t events) noexcept {
    const auto found = of(worker).watches_.find(watch);
    if (found == of(worker).watches_.end()) return APPSERVER_NOT_FOUND;
    if ((events & ~kKnown) != 0) return APPSERVER_INVALID;
    found->second.events = events;
    return APPSERVER_OK;
  }
  static std::int32_t unwatch(appserver_worker* worker, appserver_fd_watch watch) noexcept {
    return of(worker).watches_.erase(watch) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }

  std::map<appserver_fd_watch, Watch> watches_;
  appserver_fd_watch last_ = 0;
  bool ended_ = false;
};

}  // namespace appserver::testing
