// Running an io_context until something is so.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>

namespace appserver::test {

// False where the deadline comes first.
template <typename State>
bool run_until(boost::asio::io_context& context, State&& state,
               std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!state()) {
    if (std::chrono::steady_clock::now() > end) return false;
    context.restart();
    context.run_one_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Runs what is ready now, and what becomes ready by it.
inline void settle(boost::asio::io_context& context) {
  context.restart();
  while (context.poll() > 0) context.restart();
}

}  // namespace appserver::test
