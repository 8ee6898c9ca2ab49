// A site whose plugin folder is watched, and what tests of it wait for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "support/answers.hpp"
#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"

namespace appserver::integration {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::size_t count_in(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

inline std::string group(const std::string& name) {
  return "  " + name + ":\n    plugin: " + name + "\n    listen: http://127.0.0.1:0\n";
}

// A site whose plugin folder is watched, with group "api" of the probe plugin.
struct WatchedSite : Site {
  explicit WatchedSite(int count = 1, std::string_view more = {}) : Site(probe_group(count, more)) {
    configure_plugins(*this, "watch: true", probe_group(count, more));
  }
  void drop(const std::string& name, std::string_view content) const {
    write_file(root() / "plugins" / name, content);
  }
};

// The rollout that looks for what came while nobody watched is over.
inline void wait_until_watching(const Daemon& daemon) {
  daemon.wait_for_log("rollout r-1: done");
  daemon.wait_for_status("it is idle", [](const auto& now) { return now.state == "running"; });
}

inline void wait_for_answer(const Daemon& daemon, const std::string& version,
                            const std::string& name = {}) {
  eventually(
      "the answer is " + version, 20s,
      [&] { return get(daemon.address(name), "/").body == version + "\n"; },
      [&] { return daemon.log(); });
  daemon.wait_for_status("the rollout is over",
                         [](const auto& now) { return now.state == "running"; });
}

// Says so many times that a rollout has ended.
inline void wait_for_ends(const Daemon& daemon, const std::string& words, std::size_t times) {
  eventually(
      "the log says " + std::to_string(times) + " times: " + words, 20s,
      [&] { return count_in(daemon.log(), words) >= times; }, [&] { return daemon.log(); });
}

}  // namespace appserver::integration
