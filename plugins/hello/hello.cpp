#include <appserver/plugin.hpp>
#include <string>

class Hello final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override {
    greeting_ = worker.settings().get("greeting", "hello");
  }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    if (request.path() == "/healthz") {
      response.text("ok\n");
    } else {
      response.text(greeting_ + ", " + request.query("name", "world") + "\n");
    }
  }

 private:
  std::string greeting_;
};

APPSERVER_PLUGIN(Hello, "hello", "1.0.0")
