#include <appserver/plugin.hpp>
#include <string>

namespace {

class Handler final : public appserver::Plugin {
 public:
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
