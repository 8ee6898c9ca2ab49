// How long a turn of the loop may compress before the loop looks at its events again.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <optional>

namespace appserver::net {

// One for all connections of a server, because however many they are, accepts, heartbeats and small
// answers wait for the turn to end. Work is done in pieces: the first of a turn may always be done,
// a further one while the turn is not spent. Loop thread only.
class TurnBudget final {
 public:
  static constexpr std::chrono::milliseconds kMost{4};

  // Any clock that only goes forward.
  using Clock = std::function<std::chrono::nanoseconds()>;
  // That of the processor, for this thread: time in which others had the core is no work, and must
  // not decide what an answer looks like.
  static std::chrono::nanoseconds thread_time();

  explicit TurnBudget(boost::asio::io_context& context, Clock clock = thread_time);
  TurnBudget(const TurnBudget&) = delete;
  TurnBudget& operator=(const TurnBudget&) = delete;

  void measure_by(Clock clock) { clock_ = std::move(clock); }

  // Whether a piece may be done now.
  bool allows_more();
  // A piece was done.
  void worked();
  bool is_spent() const { return spent_; }
  // The loop is about to look at its events, or has.
  void begin_turn();

 private:
  boost::asio::io_context& context_;
  Clock clock_;
  std::optional<std::chrono::nanoseconds> began_;
  bool spent_ = false;
  bool renewal_posted_ = false;
};

}  // namespace appserver::net
