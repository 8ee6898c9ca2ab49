// Clients that keep a probe plugin busy while something happens to its daemon, and that tell of
// every request that did not get its right answer.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "os/fd.hpp"
#include "support/http_client.hpp"

namespace appserver::integration {

// How many clients of each kind, each a thread. "Slow" requests take a random time up to `slowest`,
// deferred in the plugin; between two requests a client thinks for a random time up to `think`.
struct Mix {
  int keep_alive = 3;
  int closing = 3;  // a connection per request
  int posting = 2;  // 16 KiB, on a kept connection
  int slow_keep_alive = 2;
  int slow_closing = 2;
  milliseconds think = 10ms;
  milliseconds slowest = 500ms;
  std::string target = "/";  // of the requests that are not slow

  static Mix light() { return {1, 1, 1, 0, 0, 10ms, 0ms}; }
};

struct Failure {
  milliseconds at;     // since the load began
  std::string client;  // "keep-alive 2"
  Outcome outcome;     // ok, where a whole answer came that is not the right one
  std::string what;
  pid_t last_worker;  // that answered on this connection before; 0 for a fresh one
  std::string text() const;
};

struct Totals {
  std::size_t requests = 0;                    // with the right answer
  std::size_t reconnects = 0;                  // of clients that keep their connection
  std::map<std::string, std::size_t> answers;  // "v1" -> number
  std::vector<Failure> failures;
  std::string text() const;
};

class Load {
 public:
  explicit Load(Endpoint endpoint, Mix mix = {});
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Right answers so far.
  std::size_t answered() const { return answered_; }
  // Waits for this many right answers in all, or from now on. Throws std::runtime_error at the
  // deadline.
  void wait_for(std::size_t answers, Deadline deadline = 30s) const;
  void wait_for_more(std::size_t answers, Deadline deadline = 30s) const;

  // Lets each client end its request and gives the sum. Once.
  Totals stop();

 private:
  struct Kind {
    const char* name;
    bool keeps_connection;
    bool posts;
    bool slow;
  };
  void start_clients(const Kind& kind, int count);
  Totals run_client(const Kind& kind, const std::string& name, unsigned seed);
  bool think(milliseconds longest, unsigned random) const;  // false once the load is to stop

  Endpoint endpoint_;
  Mix mix_;
  Deadline::Clock::time_point start_ = Deadline::Clock::now();
  os::Fd stop_;
  std::atomic<std::size_t> answered_{0};
  std::vector<Totals> results_;
  std::vector<std::thread> clients_;
};

}  // namespace appserver::integration
