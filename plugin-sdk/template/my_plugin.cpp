#include <appserver/plugin.hpp>
#include <stdexcept>
#include <string>

namespace {

class Handler final : public appserver::Plugin {
 public:
  // Before a reload touches anything, in a process of its own: an exception refuses this build.
  void self_check(appserver::Worker& worker) override {
    if (worker.settings().get("greeting", "hello").empty())
      throw std::runtime_error("settings.greeting is empty");
  }

  void on_worker_start(appserver::Worker& worker) override {
    greeting_ = worker.settings().get("greeting", "hello");
    greetings_ = worker.counter("greetings");
  }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    greetings_.add();
    if (request.path() == "/healthz") {
      response.text("ok\n");
    } else {
      response.text(greeting_ + ", " + request.query("name", "world") + "\n");
    }
  }

 private:
  std::string greeting_;
  appserver::Counter greetings_;
};

}  // namespace

APPSERVER_PLUGIN(Handler, "my_plugin", "0.1.0")
