// A clock in the browser: a page, and server-sent events that a timer sends each second.
//   GET /        the page
//   GET /events  "tick" each second, its id the second it tells; "hour" on the hour
// When the worker drains its streams end, and their clients come again, to the worker after it;
// what a client has missed in between it gets when it is back.
#include <algorithm>
#include <appserver/events.hpp>
#include <appserver/json.hpp>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

constexpr std::chrono::seconds kMostMissed{60};
constexpr std::chrono::milliseconds kComeAgain{500};

constexpr const char* kPage = R"(<!doctype html>
<meta charset="utf-8">
<title>clock</title>
<h1 id="time">...</h1>
<p id="from"></p>
<script>
  const events = new EventSource("events");
  events.addEventListener("tick", (event) => {
    const tick = JSON.parse(event.data);
    document.getElementById("time").textContent = new Date(tick.time * 1000).toLocaleTimeString();
    document.getElementById("from").textContent = `from worker ${tick.slot}, build ${tick.build}`;
  });
</script>
)";

std::chrono::seconds now() {
  return std::chrono::floor<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

class Clock final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override {
    router_.get("/",
                [](appserver::Request&, appserver::Response& response) { response.html(kPage); });
    router_.get("/events", [this](appserver::Request& request, appserver::Response& response) {
      listen(request, response);
    });
    ticker_ = worker.every(std::chrono::seconds(1), [this] { tell("tick", now()); });
    striker_ = worker.cron("0 * * * *", [this] { tell("hour", now()); });
  }

  void on_worker_drain(appserver::Worker&) override { listeners_.close(); }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    router_.serve(request, response);
  }

 private:
  void listen(appserver::Request& request, appserver::Response& response) {
    const std::string_view last = appserver::last_event_id(request);
    std::int64_t got = 0;
    const bool comes_again =
        std::from_chars(last.data(), last.data() + last.size(), got).ec == std::errc();
    appserver::EventStream events(response);
    const auto time = now();
    auto next = time;
    if (comes_again && got < time.count())
      next = std::max(std::chrono::seconds(got) + std::chrono::seconds(1), time - kMostMissed);
    for (; next <= time; ++next) {
      const std::string id = std::to_string(next.count());
      events.send({.event = "tick", .id = id, .data = data(next), .retry = kComeAgain});
    }
    listeners_.add(std::move(events));
  }

  // A client that reads too slowly misses it: the next tick says more than this one.
  void tell(std::string_view event, std::chrono::seconds time) {
    const std::string id = std::to_string(time.count());
    listeners_.send({.event = event, .id = id, .data = data(time)});
  }

  std::string data(std::chrono::seconds time) const {
    appserver::JsonText json;
    json.object().key("time").value(time.count()).key("slot").value(worker().slot());
    json.key("build").value(worker().build().substr(0, 7)).end();
    return json.take();
  }

  appserver::Router router_;
  appserver::EventStreams listeners_;
  appserver::Timer ticker_;
  appserver::Timer striker_;
};

}  // namespace

APPSERVER_PLUGIN(Clock, "clock", "1.0.0")
