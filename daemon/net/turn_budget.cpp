#include "net/turn_budget.hpp"

#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

namespace appserver::net {

std::chrono::nanoseconds TurnBudget::thread_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

TurnBudget::TurnBudget(boost::asio::io_context& context, Clock clock)
    : context_(context), clock_(std::move(clock)) {}

bool TurnBudget::allows_more() {
  if (began_) return !spent_;
  began_ = clock_();
  if (!std::exchange(renewal_posted_, true)) {
    // It runs behind the loop's next look at its events.
    boost::asio::post(context_, [this] {
      renewal_posted_ = false;
      begin_turn();
    });
  }
  return true;
}

void TurnBudget::worked() { spent_ = began_ && clock_() - *began_ >= kMost; }

void TurnBudget::begin_turn() {
  began_.reset();
  spent_ = false;
}

}  // namespace appserver::net
