// Watches the plugin folder (inotify(7)) and says when something in it has changed and settled.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace appserver::supervisor {

// Many files put there in one go are one call: it comes when nothing relevant (*.so, *.yaml, and
// links of these names) has moved for `quiet`, no such file is still growing, and none is open for
// writing as far as the kernel tells; at the latest `longest` after the first change. A folder that
// cannot be watched (it is not there, the kernel has no watch left), or in which somebody else than
// this user or root may write, also from a later time on, is looked at again each `quiet`-bounded
// interval, from the beginning or later; once it is watched, that counts as a change. So does an
// overflow of the kernel's queue. May be destroyed within its own hooks, but for those that the
// constructor calls.
class DropDirectory final {
 public:
  struct Timing {
    std::chrono::milliseconds quiet{300};
    std::chrono::milliseconds longest{10'000};
  };
  struct Hooks {
    // On the loop. All NAMEs whose NAME.yaml was ever deleted or moved away, and is not there
    // again; of a great many those that went last. Nothing of what was in a folder that is gone
    // itself, or from before an overflow of the queue, which may hide that one is there again.
    std::function<void(std::set<std::string> taken_away)> settled;
    // Why it is not watched, with the way out; each new reason once. On the loop, or from the
    // constructor.
    std::function<void(const std::string& problem)> problem;
    std::function<void()> mended;  // on the loop: it is watched again, after a problem
  };

  DropDirectory(boost::asio::io_context& io, std::filesystem::path directory, Timing timing,
                Hooks hooks);
  DropDirectory(const DropDirectory&) = delete;
  DropDirectory& operator=(const DropDirectory&) = delete;
  ~DropDirectory();

  bool is_watching() const;

 private:
  class Watch;
  std::shared_ptr<Watch> watch_;
};

}  // namespace appserver::supervisor
