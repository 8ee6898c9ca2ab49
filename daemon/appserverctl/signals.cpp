#include "appserverctl/signals.hpp"

#include <sys/signalfd.h>

#include <csignal>

#include "os/error.hpp"

namespace appserver::appserverctl {

os::Fd catch_signals() {
  ::sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct ::sigaction now {};
    os::check(::sigaction(signal, nullptr, &now), "sigaction({})", signal);
    // A blocked signal is queued even if it is ignored.
    if (now.sa_handler != SIG_IGN) ::sigaddset(&signals, signal);
  }
  os::check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask(SIG_BLOCK)");
  os::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  os::check(fd.get(), "signalfd()");
  return fd;
}

}  // namespace appserver::appserverctl
