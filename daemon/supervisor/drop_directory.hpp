// Watches the plugin folder (inotify(7)) and says when something in it has changed and settled.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace appserver::supervisor {

// Many files put there in one go are one call: it comes when nothing relevant (*.so, *.yaml, and
// links of these names) has moved for `quiet`, no such file is still growing, and none is open for
// writing as far as the kernel tells; at the latest `longest` after the first change. A folder that
// vanishes or is moved away is looked for again each `quiet`-bounded interval and reported once it
// is back; so is one that others have become able to write to, once they no longer are. An
// overflow of the kernel's queue counts as a change. May be destroyed within its own hooks.
class DropDirectory final {
 public:
  struct Timing {
    std::chrono::milliseconds quiet{300};
    std::chrono::milliseconds longest{10'000};
  };
  struct Hooks {
    std::function<void()> settled;                            // on the loop
    std::function<void(const std::string& problem)> problem;  // on the loop, for the log
  };

  // Throws os::SystemError, with the way out, where the folder cannot be watched, and
  // std::runtime_error where somebody else than this user or root may write to it: what stands
  // there is run.
  DropDirectory(boost::asio::io_context& io, std::filesystem::path directory, Timing timing,
                Hooks hooks);
  DropDirectory(const DropDirectory&) = delete;
  DropDirectory& operator=(const DropDirectory&) = delete;
  ~DropDirectory();

 private:
  class Watch;
  std::shared_ptr<Watch> watch_;
};

}  // namespace appserver::supervisor
