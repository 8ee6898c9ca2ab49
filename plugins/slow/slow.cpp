// Answers after a while, for tests and demonstrations.
//   ?ms=N            how long, at most 60000
//   ?mode=deferred   by a timer (the default)
//   ?mode=block      with the event loop held up, as a plugin should not
//   ?mode=thread     from another thread
//   ?stream=N        N chunks, one each ms
#include <appserver/plugin.hpp>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <list>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace {

using std::chrono::milliseconds;

constexpr unsigned kMaxMilliseconds = 60'000;
constexpr unsigned kMaxChunks = 100'000;
constexpr milliseconds kWhileFull{10};

void block(milliseconds time) {
  timespec left{};
  left.tv_sec = time.count() / 1000;
  left.tv_nsec = time.count() % 1000 * 1'000'000;
  while (::nanosleep(&left, &left) != 0) {
  }
}

// False if it was asked to stop before the time was over.
bool sleep_unless(const std::stop_token& stop, milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

class Slow final : public appserver::Plugin {
 public:
  void on_worker_stop(appserver::Worker&) override { threads_.clear(); }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    if (request.path() == "/healthz") {
      response.text("ok\n");
      return;
    }
    const milliseconds time(bounded(request, "ms", kMaxMilliseconds));
    const unsigned chunks = bounded(request, "stream", kMaxChunks);
    const std::string mode = request.query("mode", "deferred");
    if (chunks > 0)
      return next_chunk({response.stream("text/plain; charset=utf-8"), time, 1, chunks});

    response.text("slept " + std::to_string(time.count()) + " ms, body " +
                  std::to_string(request.body().size()) + " bytes, worker " +
                  std::to_string(worker().slot()) + "\n");
    if (mode == "block") {
      block(time);
    } else if (mode == "thread") {
      send_from_thread(response.defer(), time);
    } else if (mode == "deferred") {
      worker().after(time, [later = response.defer()]() mutable { later.send(); }).detach();
    } else {
      throw appserver::BadRequest("mode is deferred, block or thread");
    }
  }

 private:
  struct Chunks {
    appserver::Stream stream;
    milliseconds pause;
    unsigned next;
    unsigned count;
  };

  static unsigned bounded(const appserver::Request& request, const char* name, unsigned most) {
    const auto value = request.query(name, 0U);
    if (value <= most) return value;
    throw appserver::BadRequest(std::string(name) + " is at most " + std::to_string(most));
  }

  void next_chunk(Chunks chunks) {
    const auto result = chunks.stream.write("chunk " + std::to_string(chunks.next) + " of " +
                                            std::to_string(chunks.count) + "\n");
    if (result == appserver::Write::kGone) return;
    if (result == appserver::Write::kTaken && chunks.next++ == chunks.count) {
      chunks.stream.finish();
      return;
    }
    const milliseconds pause = result == appserver::Write::kFull ? kWhileFull : chunks.pause;
    worker()
        .after(pause, [this, left = std::move(chunks)]() mutable { next_chunk(std::move(left)); })
        .detach();
  }

  // The thread asks the loop to join it, so that the list holds only those still at work.
  void send_from_thread(appserver::Deferred later, milliseconds time) {
    const auto self = threads_.emplace(threads_.end());
    *self = std::jthread(
        [this, self, time, answer = std::move(later)](const std::stop_token& stop) mutable {
          if (sleep_unless(stop, time)) answer.send();
          worker().post([this, self] { threads_.erase(self); });
        });
  }

  std::list<std::jthread> threads_;
};

}  // namespace

APPSERVER_PLUGIN(Slow, "slow", "1.0.0")
