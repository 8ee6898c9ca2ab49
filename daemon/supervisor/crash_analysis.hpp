// Makes stacks of crash notes, on a thread of its own: reading symbol tables takes seconds, and a
// file system may hang.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "control/api.hpp"
#include "supervisor/crash_stack.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::supervisor {

// For the thread of `io`, which must outlive it.
class CrashAnalysis final {
 public:
  // Crashes that are looked at or wait for that. Beyond them a record goes without a stack.
  static constexpr std::size_t kMost = 4;

  using Describe = std::function<CrashStack(const telemetry::CrashNote&)>;
  using Done = std::function<void(control::CrashRecord)>;

  explicit CrashAnalysis(boost::asio::io_context& io, Describe describe = describe_crash);
  CrashAnalysis(const CrashAnalysis&) = delete;
  CrashAnalysis& operator=(const CrashAnalysis&) = delete;
  // Waits for the one that is being looked at: see end(). Notes that are left are let go after
  // that, on the thread of the call.
  ~CrashAnalysis();

  // Adds to the record what the note of its dead worker says: signal, address and stack, or in
  // `reason` why there is none. `done` is called with the record, and `note` let go, on `io`.
  void add(control::CrashRecord record, std::shared_ptr<const telemetry::CrashNote> note,
           Done done);

  // Looks at none of those that wait. False where the one that is being looked at is not over in
  // time: then the process has to end without this object's destructor.
  bool end(std::chrono::milliseconds patience);
  // Once that was called and `io` has stopped for good: calls `done`, on this thread, for each that
  // `io` has not got to. What has no stack says why.
  void tell_rest();

 private:
  struct Job;

  void look_at(Job& job);
  bool begin();
  void tell(const Job& job);
  // The record with what came out.
  control::CrashRecord complete(Job& job);

  boost::asio::io_context& io_;
  Describe describe_;
  // The thread only borrows them: what a note keeps alive may belong to the loop.
  std::list<Job> jobs_;
  std::size_t waiting_ = 0;
  std::mutex mutex_;
  std::condition_variable idle_;
  bool at_work_ = false;
  bool ending_ = false;
  boost::asio::thread_pool thread_{1};
};

}  // namespace appserver::supervisor
