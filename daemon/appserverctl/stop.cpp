#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "appserverctl/socket.hpp"
#include "appserverctl/verbs.hpp"
#include "control/requests.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::appserverctl {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLookAgain{50};

// By number, as glibc 2.36 declares pidfd_open(2) with C++ linkage. None for a process that is gone
// or out of sight.
os::Fd open_process(pid_t pid) {
  return os::Fd(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
}

// Waits for one process to end, whatever its exit looks like to its parent.
class Ending {
 public:
  Ending(const control::Client& client, control::Timeout timeout)
      : client_(client), pid_(client.daemon().pid), process_(open_process(pid_)) {
    if (timeout) deadline_ = Clock::now() + *timeout;
  }

  pid_t pid() const { return pid_; }

  // Nothing left of --timeout is 0.
  control::Timeout left() const {
    if (!deadline_) return std::nullopt;
    return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(*deadline_ - Clock::now()));
  }

  // False at the deadline.
  bool wait() const { return process_ ? wait_for_process() : wait_for_socket(); }

 private:
  bool wait_for_process() const {
    for (;;) {
      const auto rest = left();
      const auto slice = rest.value_or(milliseconds(60'000));
      ::pollfd ended{process_.get(), POLLIN, 0};
      const int ready =
          ::poll(&ended, 1, static_cast<int>(std::min<std::int64_t>(slice.count(), 60'000)));
      if (ready < 0 && errno != EINTR) os::check(ready, "poll(pidfd of {})", pid_);
      if (ready > 0) return true;
      if (ready == 0 && rest && rest->count() <= 60'000) return false;
    }
  }

  // The daemon lives where we cannot see its pid (another pid namespace), so there is nothing to
  // wait on.
  bool wait_for_socket() const {
    for (;;) {
      try {
        client_.daemon();
      } catch (const control::NoDaemon&) {
        return true;
      }
      const auto rest = left();
      if (rest && rest->count() == 0) return false;
      std::this_thread::sleep_for(rest ? std::min(*rest, kLookAgain) : kLookAgain);
    }
  }

  const control::Client& client_;
  pid_t pid_;
  os::Fd process_;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace

int stop(const Options& options, const Console& console) {
  const control::Client client = find_daemon(options, console);
  const Ending ending(client, options.timeout);
  try {
    client.post("/v1/stop", to_json(control::StopRequest{options.fast}),
                ending.left().value_or(kAnswerTimeout));
  } catch (const control::TimedOut&) {
    if (!options.timeout) throw;
  } catch (const control::LostConnection&) {
    // It may be on its way out already, by a signal or another stop; whether it goes is seen next.
  }
  if (!ending.wait()) {
    console.err << fmt::format(
        "still stopping (pid {}): --timeout passed, it goes on; --fast does not wait for "
        "requests\n",
        ending.pid());
    return kTimedOut;
  }
  console.out << fmt::format("stopped (pid {})\n", ending.pid());
  return kDone;
}

}  // namespace appserver::appserverctl
