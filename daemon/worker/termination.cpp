#include "worker/termination.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include "os/error.hpp"

namespace appserver::worker {
namespace {

// A signal handler can reach nothing but statics.
std::atomic<int> event_fd{-1};
std::atomic<unsigned> seconds_left{0};

void on_term(int) {
  const int saved = errno;
  ::alarm(seconds_left.load());
  const std::uint64_t one = 1;
  static_cast<void>(!::write(event_fd.load(), &one, sizeof(one)));
  errno = saved;
}

}  // namespace

os::Fd catch_termination(std::chrono::seconds limit) {
  os::Fd event(os::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd()"));
  event_fd = event.get();
  seconds_left = static_cast<unsigned>(limit.count());
  struct sigaction action {};
  action.sa_handler = on_term;
  action.sa_flags = SA_RESTART;
  os::check(::sigaction(SIGTERM, &action, nullptr), "sigaction(SIGTERM)");
  action.sa_handler = SIG_DFL;
  os::check(::sigaction(SIGALRM, &action, nullptr), "sigaction(SIGALRM)");
  return event;
}

}  // namespace appserver::worker
