// A plugin's own descriptors on the worker's event loop.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/fd.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/handle.hpp>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

namespace appserver {

// What a watch waits for, and what has come. An error or a hang-up counts as each that is waited
// for: the next read or write tells which it is.
enum class FdEvents : std::uint32_t {
  kNone = 0,
  kRead = APPSERVER_FD_READ,
  kWrite = APPSERVER_FD_WRITE,
  kBoth = APPSERVER_FD_READ | APPSERVER_FD_WRITE,
};

constexpr FdEvents operator|(FdEvents a, FdEvents b) noexcept {
  return static_cast<FdEvents>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr FdEvents operator&(FdEvents a, FdEvents b) noexcept {
  return static_cast<FdEvents>(static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b));
}
// Whether `events` has one of `wanted`.
constexpr bool has(FdEvents events, FdEvents wanted) noexcept {
  return (events & wanted) != FdEvents::kNone;
}

namespace detail {

class FdWatches;

class FdWatchState {
 public:
  FdWatchState() = default;
  FdWatchState(const FdWatchState&) = delete;
  FdWatchState& operator=(const FdWatchState&) = delete;
  virtual ~FdWatchState() = default;
  virtual void call(FdEvents events) = 0;

  FdWatches* set = nullptr;  // null once it has ended
  appserver_fd_watch id = 0;
};

template <class Function>
class FdWatchOf final : public FdWatchState {
 public:
  template <class F>
  explicit FdWatchOf(std::in_place_t, F&& function) : function_(std::forward<F>(function)) {}
  void call(FdEvents events) override { static_cast<void>(function_(events)); }

 private:
  Function function_;
};

// The watches of a worker: owns their functions. Loop thread only.
class FdWatches {
 public:
  FdWatches(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  FdWatches(const FdWatches&) = delete;
  FdWatches& operator=(const FdWatches&) = delete;
  ~FdWatches() { clear(); }

  std::shared_ptr<FdWatchState> start(int fd, FdEvents events,
                                      std::shared_ptr<FdWatchState> state) {
    if (fds_ == nullptr) fds_ = find();
    watches_.emplace(state.get(), state);
    const std::int32_t result = fds_->watch(worker_, fd, static_cast<std::uint32_t>(events), &fire,
                                            state.get(), &state->id);
    if (result != APPSERVER_OK) {
      watches_.erase(state.get());
      refuse(result, fd);
    }
    state->set = this;
    return state;
  }

  void change(const FdWatchState& state, FdEvents events) {
    const std::int32_t result = fds_->change(worker_, state.id, static_cast<std::uint32_t>(events));
    if (result == APPSERVER_OK) return;
    if (result == APPSERVER_INVALID)
      throw std::invalid_argument("FdWatch::change: the descriptor was closed");
    throw std::runtime_error("FdWatch::change: the host refuses");
  }

  // May destroy the function, unless it is the one running.
  void cancel(FdWatchState& state) noexcept {
    fds_->unwatch(worker_, state.id);
    state.set = nullptr;
    const auto ended = watches_.extract(&state);
  }

  // A function that is destroyed by this may end another watch.
  void clear() noexcept {
    while (!watches_.empty()) cancel(*watches_.begin()->second);
  }

 private:
  const appserver_fd_host* find() const {
    const auto* const fds = static_cast<const appserver_fd_host*>(host_->extension(APPSERVER_FD));
    if (fds == nullptr || !APPSERVER_HAS(appserver_fd_host, fds, unwatch))
      throw std::runtime_error("Worker::watch: the host lacks " APPSERVER_FD);
    return fds;
  }

  [[noreturn]] static void refuse(std::int32_t result, int fd) {
    const std::string what = "Worker::watch: descriptor " + std::to_string(fd) + ": ";
    if (result == APPSERVER_INVALID)
      throw std::invalid_argument(what +
                                  "it is not open, is watched already or cannot be waited for");
    if (result == APPSERVER_LIMIT)
      throw std::runtime_error(what + "the worker has reached its bound of watches");
    throw std::runtime_error(
        what + (result == APPSERVER_GONE ? "the worker ends" : "the system refuses to watch it"));
  }

  static void fire(void* argument, std::uint32_t events) noexcept {
    auto* const state = static_cast<FdWatchState*>(argument);
    FdWatches& set = *state->set;
    // The function may end its own watch.
    const std::shared_ptr<FdWatchState> keep = set.watches_.at(state);
    try {
      keep->call(static_cast<FdEvents>(events));
    } catch (...) {
      log_exception(set.host_, set.worker_, "watched descriptor");
    }
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_fd_host* fds_ = nullptr;
  std::unordered_map<FdWatchState*, std::shared_ptr<FdWatchState>> watches_;
};

}  // namespace detail

// A watched descriptor, from Worker::watch. The watch ends when this handle goes: keep it, and
// destroy it before the descriptor is closed. Loop thread only, the destructor too. May outlive the
// plugin, then it is inert.
class [[nodiscard]] FdWatch : detail::Handle<detail::FdWatchState> {
 public:
  using Handle::active;
  using Handle::Handle;

  // From now on waits for these events; for none until they are changed again if they are kNone.
  // May be called by the watch's own function. Does nothing once the watch has ended. Throws
  // std::invalid_argument if the descriptor was closed.
  void change(FdEvents events) {
    if (active()) state().set->change(state(), events);
  }

  // After this the function is not called again. May be called by the watch's own function.
  using Handle::cancel;
};

}  // namespace appserver
