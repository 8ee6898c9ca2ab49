#include "supervisor/archive_keeper.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <utility>

namespace appserver::supervisor {

struct ArchiveKeeper::Task {
  Task(boost::asio::io_context& io, Work work_to_do, Done when_done)
      : work(std::move(work_to_do)), done(std::move(when_done)), timer(io) {}

  Work work;
  Done done;
  GivenUp given_up{false};
  bool answered = false;
  boost::asio::steady_timer timer;
};

ArchiveKeeper::ArchiveKeeper(boost::asio::io_context& io, boost::asio::thread_pool& files,
                             Archive& archive, telemetry::Log& log)
    : io_(io),
      files_(files),
      archive_(archive),
      log_(log),
      view_(std::make_shared<const ArchiveView>(look_at(archive))) {}

void ArchiveKeeper::run(Work work, std::chrono::milliseconds limit, Done done) {
  auto task = std::make_shared<Task>(io_, std::move(work), std::move(done));
  task->timer.expires_after(limit);
  task->timer.async_wait(
      [weak = std::weak_ptr<Task>(task), limit](const boost::system::error_code& error) {
        const auto late = weak.lock();
        if (error || !late || std::exchange(late->answered, true)) return;
        late->given_up = true;
        late->done(fmt::format("that takes longer than {} s; does a file system hang?",
                               std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
      });
  boost::asio::post(files_, [this, task = std::move(task)]() mutable {
    std::string problem;
    try {
      task->work(archive_, task->given_up);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    auto view = std::make_shared<const ArchiveView>(look_at(archive_));
    boost::asio::post(io_, [this, view, problem, task = std::move(task)] {
      view_ = view;
      task->timer.cancel();
      if (!std::exchange(task->answered, true)) task->done(problem);
    });
  });
}

void ArchiveKeeper::run(std::function<void(Archive&)> work, const std::string& what) {
  run([work = std::move(work)](Archive& archive, const GivenUp&) { work(archive); }, kLimit,
      [this, what](const std::string& problem) {
        if (!problem.empty()) log_.error("{}: {}", what, problem);
      });
}

}  // namespace appserver::supervisor
