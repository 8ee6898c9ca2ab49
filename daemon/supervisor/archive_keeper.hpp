// The archive as the supervisor's loop sees it: what it holds, and work for the thread that reads
// and writes its files.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "supervisor/archive.hpp"
#include "telemetry/log.hpp"

namespace appserver::supervisor {

// Lives on the supervisor's loop, as long as that runs, and outlives `files`' last task.
class ArchiveKeeper final {
 public:
  // True once nobody waits for the work's outcome any more; for any thread.
  using GivenUp = std::atomic<bool>;
  using Work = std::function<void(Archive&, const GivenUp&)>;
  using Done = std::function<void(const std::string& problem)>;  // empty: none

  // For whatever reads or writes files: a file system may hang.
  static constexpr std::chrono::seconds kLimit{120};

  // `files` has one thread; once it has work, the archive is for that thread alone.
  ArchiveKeeper(boost::asio::io_context& io, boost::asio::thread_pool& files, Archive& archive,
                telemetry::Log& log);
  ArchiveKeeper(const ArchiveKeeper&) = delete;
  ArchiveKeeper& operator=(const ArchiveKeeper&) = delete;

  // As of the last work that is done. Never null.
  const std::shared_ptr<const ArchiveView>& view() const { return view_; }

  // Runs `work` on the file thread, in its turn. Then the view is renewed, and `done` called on the
  // loop; or, where that takes longer than `limit`, `done` is called at that moment with this as
  // the problem, and the work is given up: it may still be done, late, but before all that is run
  // later. `done` is destroyed on the loop, once the work is over.
  void run(Work work, std::chrono::milliseconds limit, Done done);
  // The same within kLimit; a problem is logged, as one of `what`.
  void run(std::function<void(Archive&)> work, const std::string& what);

 private:
  struct Task;

  boost::asio::io_context& io_;
  boost::asio::thread_pool& files_;
  Archive& archive_;
  telemetry::Log& log_;
  std::shared_ptr<const ArchiveView> view_;
};

}  // namespace appserver::supervisor
