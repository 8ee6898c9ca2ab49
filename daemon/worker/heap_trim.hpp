// Memory that goes back to the system when many connections go.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>

namespace appserver::worker {

// malloc keeps what was freed below something that is still in use: after a storm of connections a
// worker would stay as large as it was at its height. What this costs is in proportion to the pages
// that go back, so it is done as the connections go, not for all of them at once. Loop thread only.
class HeapTrim final {
 public:
  using Clock = std::chrono::steady_clock;
  // So many connections fewer, and it is done.
  static constexpr std::size_t kStep = 1'000;
  // Between two falls, so that a number which goes up and down costs little; behind a fall, for
  // what the last step has left.
  static constexpr std::chrono::seconds kApart{10};

  // `give_back`: in place of malloc's own call, for tests.
  explicit HeapTrim(std::function<void()> give_back = give_back_free_memory)
      : give_back_(std::move(give_back)) {}
  HeapTrim(const HeapTrim&) = delete;
  HeapTrim& operator=(const HeapTrim&) = delete;

  // To be called with the number of connections when one has ended, and each tick.
  void look(std::size_t connections);
  void look(std::size_t connections, Clock::time_point now);

  static void give_back_free_memory();

 private:
  std::function<void()> give_back_;
  std::size_t height_ = 0;  // the most connections since memory was given back
  std::size_t left_ = 0;    // connections when it was
  bool has_rest_ = false;
  Clock::time_point not_before_{};
};

}  // namespace appserver::worker
