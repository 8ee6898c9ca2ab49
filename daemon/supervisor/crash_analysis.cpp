#include "supervisor/crash_analysis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include "os/process.hpp"

namespace appserver::supervisor {

struct CrashAnalysis::Job {
  control::CrashRecord record;
  std::shared_ptr<const telemetry::CrashNote> note;
  Done done;
  bool waits = true;  // for the thread; else it goes without a stack
  // What the thread has made of it; under the mutex.
  CrashStack stack = {};
  std::string why_no_stack = "the daemon has ended";
};

CrashAnalysis::CrashAnalysis(boost::asio::io_context& io, Describe describe)
    : io_(io), describe_(std::move(describe)) {}

CrashAnalysis::~CrashAnalysis() = default;

void CrashAnalysis::add(control::CrashRecord record,
                        std::shared_ptr<const telemetry::CrashNote> note, Done done) {
  // The handler's word counts: one that got stuck in it ended otherwise.
  const int signal = note->signal.load(std::memory_order_acquire);
  if (signal > 0 && signal < NSIG) record.signal = os::signal_name(signal);
  Job& job = jobs_.emplace_back(Job{std::move(record), std::move(note), std::move(done)});
  if (waiting_ >= kMost) {
    job.waits = false;
    job.why_no_stack = fmt::format("{} others wait for theirs", waiting_);
    boost::asio::post(io_, [this, &job] { tell(job); });
    return;
  }
  ++waiting_;
  boost::asio::post(thread_, [this, &job] {
    if (!begin()) return;
    look_at(job);
    boost::asio::post(io_, [this, &job] { tell(job); });
    const std::lock_guard lock(mutex_);
    at_work_ = false;
    idle_.notify_all();
  });
}

bool CrashAnalysis::begin() {
  const std::lock_guard lock(mutex_);
  at_work_ = !ending_;
  return at_work_;
}

void CrashAnalysis::look_at(Job& job) {
  CrashStack stack;
  std::string why_not;
  try {
    stack = describe_(*job.note);
  } catch (const std::exception& error) {
    why_not = error.what();
  }
  const std::lock_guard lock(mutex_);
  job.stack = std::move(stack);
  job.why_no_stack = std::move(why_not);
}

control::CrashRecord CrashAnalysis::complete(Job& job) {
  const std::lock_guard lock(mutex_);
  control::CrashRecord record = std::move(job.record);
  record.address = std::move(job.stack.address);
  record.stack = std::move(job.stack.frames);
  if (!job.why_no_stack.empty()) record.reason += fmt::format(" (no stack: {})", job.why_no_stack);
  return record;
}

void CrashAnalysis::tell(const Job& job) {
  const auto at = std::ranges::find_if(jobs_, [&](const Job& each) { return &each == &job; });
  std::list<Job> told;
  told.splice(told.begin(), jobs_, at);
  if (job.waits) --waiting_;
  told.front().done(complete(told.front()));
}

bool CrashAnalysis::end(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  ending_ = true;
  return idle_.wait_for(lock, patience, [this] { return !at_work_; });
}

// The notes stay: one may be looked at still.
void CrashAnalysis::tell_rest() {
  for (Job& job : jobs_) job.done(complete(job));
}

}  // namespace appserver::supervisor
