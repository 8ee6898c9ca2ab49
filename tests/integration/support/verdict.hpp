// What a test says of the end of a command and of a load, in one line.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "support/load.hpp"
#include "support/process.hpp"

namespace appserver::integration {

// Exit codes of appserverctl.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kRefused = 3;
inline constexpr int kRolledBack = 4;
inline constexpr int kPartial = 5;
inline constexpr int kBusy = 6;
inline constexpr int kGoesOn = 7;

inline std::string output(const Finished& finished) { return finished.out + finished.err; }

inline bool says(const Finished& finished, const std::string& text) {
  return output(finished).find(text) != std::string::npos;
}

inline void require_exit(const Finished& finished, int code) {
  INFO(finished.text());
  REQUIRE(finished.exit == Exit{code, 0});
}

inline void require_exit(const Finished& finished, int code, const std::string& text) {
  INFO(finished.text());
  REQUIRE(finished.exit == Exit{code, 0});
  INFO("expected: " << text);
  REQUIRE(says(finished, text));
}

// Ends the load: not one request failed, and no client had to connect again.
inline Totals require_unnoticed(Load& load) {
  Totals totals = load.stop();
  INFO(totals.text());
  REQUIRE(totals.failures.empty());
  REQUIRE(totals.reconnects == 0);
  REQUIRE(totals.requests > 0);
  return totals;
}

}  // namespace appserver::integration
