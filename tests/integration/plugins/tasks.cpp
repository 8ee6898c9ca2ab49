// A plugin whose requests coroutines answer, built twice: as "v1" and as "v2".
//   /nap?ms=N   its version, after N ms and some work on a thread
//   /pieces     its version ten times, as a stream, 5 ms apart
//   /stay       no answer for an hour
//   /staying    how many requests stay
//   /throw      an exception, after a while
#include <appserver/combine.hpp>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <chrono>
#include <stdexcept>
#include <string>

namespace {

using appserver::AsyncNext;
using appserver::Request;
using appserver::Response;
using appserver::Task;
using std::chrono::milliseconds;

const std::string kVersion = TASKS_VERSION;

class Guest {
 public:
  explicit Guest(int& count) : count_(count) { ++count_; }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { --count_; }

 private:
  int& count_;
};

class Tasks final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker&) override {
    router_.use("/nap", [this](Request&, Response& response, AsyncNext next) -> Task<> {
      co_await worker().next_turn();
      co_await next();
      response.header("X-Worker", std::to_string(worker().generation()));
    });
    router_.get("/nap", [this](Request& request, Response& response) -> Task<> {
      return nap(request, response);
    });
    router_.get("/pieces", [this](Request&, Response& response) -> Task<> {
      appserver::Stream stream = response.stream("text/plain");
      for (int i = 0; i < 10; ++i) {
        co_await worker().sleep(milliseconds(5));
        if (!co_await stream.send(kVersion)) co_return;
      }
      stream.finish();
    });
    router_.get("/stay", [this](Request&, Response& response) -> Task<> {
      const Guest guest(staying_);
      co_await worker().sleep(std::chrono::hours(1));
      response.text("late");
    });
    router_.get("/staying",
                [this](Request&, Response& response) { response.text(std::to_string(staying_)); });
    router_.get("/throw", [this](Request&, Response&) -> Task<> {
      co_await worker().sleep(milliseconds(5));
      throw std::runtime_error("out of cheese");
    });
  }

  void on_request(Request& request, Response& response) override {
    router_.serve(request, response);
  }

 private:
  Task<std::string> version() {
    co_await worker().next_turn();
    co_return co_await worker().offload([&] { return kVersion; });
  }

  Task<> nap(Request& request, Response& response) {
    const std::string found = co_await appserver::with_timeout(version(), std::chrono::minutes(1));
    co_await worker().sleep(milliseconds(request.query("ms", 10)));
    response.text(found);
  }

  appserver::Router router_;
  int staying_ = 0;
};

}  // namespace

APPSERVER_PLUGIN(Tasks, "tasks", TASKS_VERSION)
