// The bus as requests: /publish/TEXT to the topic "news", /add counts "count", /count, /set/VALUE
// and /get of "key". /seen tells who answers, what it has seen of "news" and how often the bus was
// lost.
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace {

using namespace appserver;

class BusProbe final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    news_ = worker.bus().subscribe("news", [this](const BusMessage& message) {
      seen_ += "[" + std::string(message.text) + "]";
      lost_ += message.lost;
    });
    worker.bus().on_reset([this] { ++resets_; });
  }

  void on_request(Request& request, Response& response) override {
    const std::string path(request.path());
    const std::string rest = path.substr(path.rfind('/') + 1);
    Bus& bus = worker().bus();
    if (path.starts_with("/publish/")) {
      bus.publish("news", rest);
      response.text("published");
    } else if (path == "/add") {
      bus.add("count", 1, Bus::kForEver,
              [later = response.defer()](Outcome<std::int64_t> sum) mutable {
                answer(later, sum, [&] { return std::to_string(sum.value()); });
              });
    } else if (path.starts_with("/set/")) {
      bus.set("key", rest, Bus::kForEver,
              [later = response.defer()](Outcome<std::uint64_t> version) mutable {
                answer(later, version, [] { return std::string("set"); });
              });
    } else if (path == "/get" || path == "/count") {
      bus.get(path == "/get" ? "key" : "count",
              [later = response.defer()](Outcome<std::optional<BusValue>> found) mutable {
                answer(later, found, [&] {
                  return found.value() ? found.value()->value : std::string("(none)");
                });
              });
    } else {
      response.text(std::to_string(::getpid()) + " resets " + std::to_string(resets_) + " lost " +
                    std::to_string(lost_) + " " + seen_);
    }
  }

 private:
  template <class T, class Text>
  static void answer(Deferred& later, const Outcome<T>& outcome, Text&& text) {
    if (outcome) {
      later.text(text()).send();
    } else {
      later.status(503).text("unreachable").send();
    }
  }

  Subscription news_;
  std::string seen_;
  std::uint64_t lost_ = 0;
  int resets_ = 0;
};

}  // namespace

APPSERVER_PLUGIN(BusProbe, "bus", "1.0.0")
