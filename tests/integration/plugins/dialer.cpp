// The plugin of the tests of outbound connections: one, to settings.peer, opened again for ever.
// Over HTTP: /ask?MESSAGE sends it, and gives the next message that comes; /state gives
// "OPENED CLOSED FAILED LAST_REASON SUBPROTOCOL WHY"; /http?URL what a call there gives, awaited.
#include <appserver/plugin.hpp>
#include <chrono>
#include <deque>
#include <string>
#include <utility>

namespace {

using namespace appserver;

class Dialer final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    const Settings settings = worker.settings();
    ConnectOptions options;
    options.retries = ConnectOptions::kForever;
    options.min_delay = std::chrono::milliseconds(20);
    options.max_delay = std::chrono::milliseconds(100);
    options.ca_file = settings.get("ca_file", "");
    if (settings.has("subprotocol")) options.subprotocols = {settings.require("subprotocol")};
    peer_ = worker.connect(settings.require("peer"), options,
                           {.on_open =
                                [this](Connection peer) {
                                  ++opened_;
                                  subprotocol_ = peer.info().subprotocol;
                                },
                            .on_message =
                                [this](Connection, Message message) {
                                  if (waiting_.empty()) return;
                                  Deferred next = std::move(waiting_.front());
                                  waiting_.pop_front();
                                  next.text(std::string(message) + "\n").send();
                                },
                            .on_close =
                                [this](Connection, const Disconnected& close) {
                                  ++closed_;
                                  reason_ = static_cast<int>(close.reason);
                                  for (Deferred& each : std::exchange(waiting_, {}))
                                    each.status(502).text("lost\n").send();
                                },
                            .on_failed =
                                [this](const ConnectFailed& failed) {
                                  ++failed_;
                                  why_ = failed.what;
                                }});
  }

  Task<void> on_request_async(Request& request, Response& response) override {
    const std::string query(request.query_string());
    if (request.path() == "/http") {
      const HttpResponse got = co_await worker().http().get(query);
      response.text(std::to_string(got.status) + " " + got.body);
    } else if (request.path() == "/ask") {
      if (peer_.connection().send(query)) {
        waiting_.push_back(response.defer());
      } else {
        response.status(503).text("not open\n");
      }
    } else {
      response.text(std::to_string(opened_) + " " + std::to_string(closed_) + " " +
                    std::to_string(failed_) + " " + std::to_string(reason_) + " " +
                    (subprotocol_.empty() ? "-" : subprotocol_) + " " + why_ + "\n");
    }
  }

 private:
  Outbound peer_;
  std::deque<Deferred> waiting_;
  int opened_ = 0;
  int closed_ = 0;
  int failed_ = 0;
  int reason_ = -1;
  std::string subprotocol_;
  std::string why_;
};

}  // namespace

APPSERVER_PLUGIN(Dialer, "dialer", "1")
