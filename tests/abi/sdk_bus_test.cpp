// A subscription that a coroutine waits for, word for word as bus.hpp tells plugins to write it.
#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace appserver;
using namespace std::chrono_literals;
using testing::HarnessOf;
using testing::SharedBus;

namespace {

using Strings = std::vector<std::string>;

class Reader : public Plugin {
 public:
  void begin() { task = worker().spawn(read()); }
  void publish(const std::string& text) { worker().bus().publish("news", text); }

  Bus& at() { return worker().bus(); }

  Spawned task;
  Strings heard;
  Strings steps;

 private:
  Task<> read() {
    Bus& bus = worker().bus();
    const auto hear = [this](const BusMessage& message) { heard.emplace_back(message.text); };
    try {
#include "bus_form_of_header.inc"
      steps.emplace_back("holds");
      co_await worker().sleep(1h);
    } catch (const BusError& error) {
      steps.emplace_back(error.what());
    }
  }
};

struct Fixture {
  std::shared_ptr<SharedBus> bus = std::make_shared<SharedBus>();
  HarnessOf<Reader> reader{{.bus = bus}};
  HarnessOf<Reader> other{{.bus = bus}};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a coroutine goes on once its subscription holds, and hears all since") {
  reader.plugin().begin();
  CHECK(reader.plugin().steps.empty());
  reader.run();
  REQUIRE(reader.plugin().steps == Strings{"holds"});
  other.plugin().publish("one");
  other.plugin().publish("two");
  reader.run();
  CHECK(reader.plugin().heard == Strings{"one", "two"});
}

TEST_CASE_METHOD(Fixture, "a subscription of a coroutine ends with the coroutine") {
  reader.plugin().begin();
  SECTION("that waits for it") { CHECK(reader.plugin().steps.empty()); }
  SECTION("that has it") {
    reader.run();
    REQUIRE(reader.plugin().steps == Strings{"holds"});
  }
  reader.plugin().task.cancel();
  other.plugin().publish("late");
  reader.run();
  CHECK(reader.plugin().heard.empty());
}

TEST_CASE_METHOD(Fixture, "a coroutine whose subscription fails is told so by an exception") {
  SECTION("that the bus gives no answer") {
    reader.plugin().begin();
    bus->lose();
    reader.run();
    REQUIRE(reader.plugin().steps.size() == 1);
    CHECK_THAT(reader.plugin().steps[0], Catch::Contains("no answer"));
  }
  SECTION("that there are too many topics") {
    std::vector<Subscription> all;
    for (int i = 0; i < 1000; ++i)
      all.push_back(reader.plugin().at().subscribe(std::to_string(i), [](const BusMessage&) {}));
    reader.plugin().begin();
    REQUIRE(reader.plugin().steps == Strings{"a bound of the bus is reached"});
  }
  other.plugin().publish("late");
  reader.run();
  CHECK(reader.plugin().heard.empty());
}
