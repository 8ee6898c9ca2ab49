#include "worker/fd_host.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "os/error.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

// Watches that are told in one turn of the loop.
constexpr std::size_t kPerTurn = 64;
constexpr std::uint32_t kKnown = APPSERVER_FD_READ | APPSERVER_FD_WRITE;

std::uint32_t to_epoll(std::uint32_t events) {
  std::uint32_t result = 0;
  if ((events & APPSERVER_FD_READ) != 0) result |= EPOLLIN | EPOLLRDHUP;
  if ((events & APPSERVER_FD_WRITE) != 0) result |= EPOLLOUT;
  return result;
}

std::uint32_t from_epoll(std::uint32_t events) {
  std::uint32_t result = 0;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) result |= APPSERVER_FD_READ;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) result |= APPSERVER_FD_WRITE;
  return result;
}

// Runs call(fds) where that may be, else says why not.
template <class Function>
std::int32_t with_fds(appserver_worker* worker, Function&& function) noexcept {
  if (!worker->host.on_loop()) return APPSERVER_INVALID;
  try {
    return function(worker->host.fds());
  } catch (const std::exception& error) {
    worker->host.report_error(error.what());
    return APPSERVER_ERROR;
  }
}

}  // namespace

std::int32_t FdHost::watch(int fd, std::uint32_t events, Call call, void* argument,
                           appserver_fd_watch& watch) {
  if (stopped_) return APPSERVER_GONE;
  if (fd < 0 || call == nullptr || (events & ~kKnown) != 0) return APPSERVER_INVALID;
  if (watches_.size() >= kMaxWatches) return APPSERVER_LIMIT;
  // One that was closed without a word is in the set no more, and its number may be watched anew.
  const auto known = by_fd_.find(fd);
  if (known != by_fd_.end() && watches_.at(known->second).events == 0) return APPSERVER_INVALID;
  if (!set_) open();
  // Entered for an instant even without events: so it is known whether it can be waited for.
  const appserver_fd_watch id = last_ + 1;
  const Watch made{fd, events, call, argument};
  if (const auto result = enter(id, made); result != APPSERVER_OK) return result;
  last_ = id;
  by_fd_[fd] = id;
  watches_.emplace(id, made);
  if (events == 0) leave(id, made);
  watch = id;
  return APPSERVER_OK;
}

std::int32_t FdHost::change(appserver_fd_watch id, std::uint32_t events) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return APPSERVER_NOT_FOUND;
  if ((events & ~kKnown) != 0) return APPSERVER_INVALID;
  Watch& watch = found->second;
  if (watch.events == events) return APPSERVER_OK;
  if (!is_current(id, watch)) return APPSERVER_INVALID;
  const std::uint32_t before = std::exchange(watch.events, events);
  if (events == 0) {
    leave(id, watch);
    return APPSERVER_OK;
  }
  if (before == 0) return enter(id, watch);
  epoll_event event{};
  event.events = to_epoll(events);
  event.data.u64 = id;
  return ::epoll_ctl(set_->native_handle(), EPOLL_CTL_MOD, watch.fd, &event) == 0
             ? APPSERVER_OK
             : APPSERVER_INVALID;
}

std::int32_t FdHost::unwatch(appserver_fd_watch id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return APPSERVER_NOT_FOUND;
  if (found->second.events != 0) leave(id, found->second);
  if (is_current(id, found->second)) by_fd_.erase(found->second.fd);
  watches_.erase(found);
  return APPSERVER_OK;
}

void FdHost::stop() {
  stopped_ = true;
  watches_.clear();
  by_fd_.clear();
  set_.reset();
}

void FdHost::open() {
  os::Fd set(os::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1()"));
  set_ = std::make_unique<Descriptor>(context_.get_executor());
  set_->assign(set.get());
  set.release();
  wait();
}

void FdHost::wait() {
  set_->async_wait(Descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error || !set_) return;
    ready();
    if (set_) wait();
  });
}

void FdHost::ready() {
  std::array<epoll_event, kPerTurn> events{};
  const int set = set_->native_handle();
  const int count = os::retry_on_interrupt(
      [&] { return ::epoll_wait(set, events.data(), static_cast<int>(events.size()), 0); });
  // One that another's call takes back in this turn is not strange.
  const bool strange =
      std::any_of(events.begin(), events.begin() + std::max(count, 0),
                  [this](const epoll_event& event) { return !watches_.contains(event.data.u64); });
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    // A call may have taken others back, or changed what they wait for.
    const auto found = watches_.find(event.data.u64);
    if (found == watches_.end()) continue;
    const Watch watch = found->second;
    const std::uint32_t come = from_epoll(event.events) & watch.events;
    if (come == 0) continue;
    const telemetry::InHook in_hook(host_.page(), telemetry::Hook::fd_ready);
    watch.call(watch.argument, come);
  }
  if (strange && set_) renew();
}

// epoll(7), question 6: a descriptor that was closed while a duplicate of it is open, in a child
// for instance, stays in the set, and nobody can name it to take it out.
void FdHost::renew() {
  // Closed first: a process that has used up its descriptors has this one then.
  set_->close();
  os::Fd fresh(os::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1()"));
  set_->assign(fresh.get());
  fresh.release();
  for (const auto& [id, watch] : watches_) {
    if (watch.events != 0 && is_current(id, watch)) enter(id, watch);
  }
}

bool FdHost::is_current(appserver_fd_watch id, const Watch& watch) const {
  const auto found = by_fd_.find(watch.fd);
  return found != by_fd_.end() && found->second == id;
}

std::int32_t FdHost::enter(appserver_fd_watch id, const Watch& watch) {
  epoll_event event{};
  event.events = to_epoll(watch.events);
  event.data.u64 = id;
  if (::epoll_ctl(set_->native_handle(), EPOLL_CTL_ADD, watch.fd, &event) == 0) return APPSERVER_OK;
  switch (errno) {
    case EBADF:
    case EEXIST:
    case EPERM:
    case ELOOP:
    case EINVAL:
      return APPSERVER_INVALID;
    case ENOSPC:
      return APPSERVER_LIMIT;
    default:
      throw os::SystemError(errno, fmt::format("watching descriptor {}", watch.fd));
  }
}

void FdHost::leave(appserver_fd_watch id, const Watch& watch) {
  // Where the plugin has closed it, the kernel has taken it out already.
  if (is_current(id, watch))
    static_cast<void>(::epoll_ctl(set_->native_handle(), EPOLL_CTL_DEL, watch.fd, nullptr));
}

const appserver_fd_host& fd_host_table() {
  static const appserver_fd_host kTable{
      sizeof(appserver_fd_host), 0,
      [](appserver_worker* worker, std::int32_t fd, std::uint32_t events, FdHost::Call call,
         void* argument, appserver_fd_watch* watch) noexcept -> std::int32_t {
        if (watch == nullptr) return APPSERVER_INVALID;
        return with_fds(worker,
                        [&](FdHost& fds) { return fds.watch(fd, events, call, argument, *watch); });
      },
      [](appserver_worker* worker, appserver_fd_watch watch,
         std::uint32_t events) noexcept -> std::int32_t {
        return with_fds(worker, [&](FdHost& fds) { return fds.change(watch, events); });
      },
      [](appserver_worker* worker, appserver_fd_watch watch) noexcept -> std::int32_t {
        return with_fds(worker, [&](FdHost& fds) { return fds.unwatch(watch); });
      }};
  return kTable;
}

}  // namespace appserver::worker
