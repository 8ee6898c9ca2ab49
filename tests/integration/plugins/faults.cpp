// A plugin that fails on demand, in functions that a stack can name. It answers "v1\n" as the probe
// plugin does, with the worker's pid in X-Pid, so that support/load.hpp can keep it busy.
//   /say?text=T   T on stderr            /grow?mib=N   keeps N MiB more
//   /segv         writes to address 16   /abort        says why on stderr, and aborts
//   /exit         exit(3)                /spin         turns for ever
//   /spin_deaf    the same, SIGABRT ignored
//   /block?ms=N   keeps the loop for N ms, then answers
#include <signal.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace faults {

__attribute__((noinline, no_sanitize("undefined"))) void write_nowhere() {
  auto* volatile nowhere = reinterpret_cast<volatile int*>(std::uintptr_t{16});
  *nowhere = 1;
}

__attribute__((noinline)) void abort_with_words() {
  std::fputs("fatal: the price list is empty\n", stderr);
  std::abort();
}

__attribute__((noinline)) void spin_for_ever() {
  volatile bool for_ever = true;
  while (for_ever) {
  }
}

void block(unsigned milliseconds) {
  std::fputs("it blocks\n", stderr);
  ::usleep(milliseconds * 1000);
}

class Faults final : public appserver::Plugin {
 public:
  void on_request(appserver::Request& request, appserver::Response& response) override {
    response.header("X-Pid", std::to_string(::getpid()));
    const auto path = request.path();
    if (path == "/say") std::fprintf(stderr, "%s\n", request.query("text", "").c_str());
    if (path == "/grow") grow(request.query("mib", std::size_t{0}));
    if (path == "/segv") write_nowhere();
    if (path == "/abort") abort_with_words();
    if (path == "/exit") std::exit(3);
    if (path == "/block") block(request.query("ms", 0u));
    if (path == "/spin_deaf") ::signal(SIGABRT, SIG_IGN);
    if (path.starts_with("/spin")) {
      std::fputs("it spins\n", stderr);
      spin_for_ever();
    }
    std::string text = request.body().empty() ? "" : std::to_string(request.body().size()) + " ";
    response.text(text.append("v1\n"));
  }

 private:
  void grow(std::size_t mib) { kept_.emplace_back(mib << 20, 'x'); }

  std::vector<std::vector<char>> kept_;
};

}  // namespace faults

APPSERVER_PLUGIN(faults::Faults, "faults", "1.0.0")
