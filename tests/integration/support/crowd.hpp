// Many WebSocket clients on one thread, each of which sends numbered messages and checks that each
// is answered, once and in its order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "os/fd.hpp"
#include "support/deadline.hpp"
#include "support/endpoint.hpp"
#include "support/talk.hpp"

namespace appserver::integration {

// Of the relay plugin: "VERSION COUNT MESSAGE", or "VERSION again MESSAGE" to what was delivered
// before.
class Crowd {
 public:
  // `window`: messages of one client that wait for their answers.
  Crowd(const Endpoint& endpoint, std::size_t clients, std::uint64_t window = 2);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Waits for so many more answers. Throws std::runtime_error at the deadline.
  void wait_for_more(std::size_t answers, Deadline deadline = 60s) const;
  std::size_t answered() const { return answered_; }
  // Answers that were marked as given again.
  std::size_t again() const { return again_; }
  // Waits for what is under way. What went wrong, a line each. Once.
  std::vector<std::string> stop(Deadline deadline = 60s);

 private:
  struct Client {
    Talk talk;
    std::uint64_t sent = 0;
    std::uint64_t answered = 0;
    std::string received{};
    std::string unsent{};
    std::string problem{};
  };

  void run();
  void write(Client& client);
  void read(Client& client);
  void take(Client& client, const std::string& answer);

  std::uint64_t window_;
  std::vector<Client> clients_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> give_up_{false};
  std::atomic<std::size_t> answered_{0};
  std::atomic<std::size_t> again_{0};
  std::atomic<std::size_t> waiting_{0};  // for answers, in all
  os::Fd wake_;
  std::thread thread_;
};

}  // namespace appserver::integration
