// What a reload does to clients, as a report: failed requests, connections that had to be made
// anew, and how soon the new code answers. Drives the built binaries; reload_report [reloads, 5].
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/load.hpp"
#include "support/process.hpp"
#include "support/site.hpp"
#include "support/status.hpp"

using namespace appserver::integration;

namespace {

using Clock = Deadline::Clock;

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

Status ready_status(const Site& site) {
  for (Deadline deadline = 20s; !deadline.passed(); pause_briefly(20)) {
    const auto answer =
        run({APPSERVER_CTL, "status", "--json", "--socket", site.control_socket().string()}, 20s);
    if (answer.exit.code != 0) continue;
    auto status = parse_status(answer.out);
    if (status.all_ready()) return status;
  }
  throw std::runtime_error("the daemon did not become ready");
}

// Mix of perf measurements: fast and slow, kept and fresh connections.
Mix report_mix() {
  Mix mix;
  mix.keep_alive = 4;
  mix.closing = 4;
  mix.posting = 2;
  mix.slow_keep_alive = 2;
  mix.slow_closing = 2;
  mix.think = 1ms;
  return mix;
}

// From the command to the first answer of the new code on a fresh connection, and to the end of the
// command.
void reload_once(const Site& site, const Endpoint& address, const std::string& version) {
  const auto start = Clock::now();
  Process reload({APPSERVER_CTL, "reload", "--socket", site.control_socket().string()});
  eventually("the new code answers", 60s, [&] { return get(address, "/").body == version + "\n"; });
  const auto first_new = since(start);
  const auto exit = reload.wait(60s);
  if (exit != Exit{0, 0}) throw std::runtime_error("reload: " + reload.out() + reload.err());
  std::printf("  first answer of the new code after %4lld ms, reload returned after %4lld ms\n",
              static_cast<long long>(first_new.count()),
              static_cast<long long>(since(start).count()));
}

void report(int reloads) {
  Site site(probe_group(2));
  Process daemon({APPSERVER_DAEMON, "--config", site.config_file().string()});
  const Endpoint address = ready_status(site).groups.at(0).listen.at(0);
  Load load(address, report_mix());
  load.wait_for_more(1000);
  for (int round = 0; round < reloads; ++round) {
    const bool second = round % 2 == 0;
    site.install(second ? probe_v2() : probe_v1());
    reload_once(site, address, second ? "v2" : "v1");
    load.wait_for_more(1000);
  }
  const auto totals = load.stop();
  std::printf("  %s\n", totals.text().c_str());
  daemon.signal(SIGTERM);
  daemon.wait(20s);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    report(argc > 1 ? std::atoi(argv[1]) : 5);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "reload_report: %s\n", error.what());
    return 1;
  }
}
