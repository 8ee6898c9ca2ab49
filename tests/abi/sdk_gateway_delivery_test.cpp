// Which worker gets the events of a gateway's clients, and when again, through the test kit.
#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway_desk.hpp"

using namespace appserver;
using namespace std::chrono_literals;
using test::Desk;
using test::Lines;
using testing::ClientOfGateway;
using testing::HarnessOf;
using testing::Protocol;
using testing::SharedGateway;

namespace {

Task<void> wait_with(EventHold) { co_await sleep(1h); }

}  // namespace

TEST_CASE("an event that is held goes to another worker where its own one ends") {
  const auto gateway = std::make_shared<SharedGateway>();
  HarnessOf<Desk> second({.gateway = gateway});
  std::optional<ClientOfGateway> ada;
  EventHold kept;
  {
    HarnessOf<Desk> first({.gateway = gateway});
    first.plugin().at_message = [&](GatewayClient& client, Message message) {
      client.set_session("seen " + std::string(message));
      if (message == "held") kept = client.hold();
    };
    ada = first.gateway_client(Protocol::kText);
    ada->send("done");
    ada->send("held");
    ada->send("also done");
    CHECK(first.plugin().heard.size() == 4);
  }
  second.run();
  CHECK(second.plugin().heard == Lines{"again text held"});
  ada->close();
  CHECK(second.plugin().heard.back().ends_with(" of /seen also done"));
  kept.acknowledge();
}

TEST_CASE("an event that unfinished work holds goes to another worker where its own one ends") {
  const auto gateway = std::make_shared<SharedGateway>();
  HarnessOf<Desk> second({.gateway = gateway});
  {
    HarnessOf<Desk> first({.gateway = gateway});
    first.plugin().at_message = [&](GatewayClient& client, Message message) {
      Worker& worker = first.plugin().its_worker();
      if (message == "task") worker.spawn(wait_with(client.hold()));
      if (message == "timer") worker.after(1h, [hold = client.hold()] {}).detach();
      if (message == "question") {
        client.gateway().count(Audience::all(),
                               [hold = client.hold()](Outcome<GatewayAnswer<std::uint64_t>>) {});
      }
    };
    gateway->set_silent(true);
    ClientOfGateway ada = first.gateway_client(Protocol::kText);
    for (const char* each : {"task", "timer", "question"}) ada.send(each);
    CHECK(first.plugin().heard.size() == 4);
  }
  second.run();
  CHECK(second.plugin().heard ==
        Lines{"again text task", "again text timer", "again text question"});
}

TEST_CASE("a client goes on with the successor of a reload, once nothing is owed for it") {
  HarnessOf<Desk> before;
  HarnessOf<Desk> after;
  EventHold kept;
  before.plugin().at_message = [&](GatewayClient& client, Message) { kept = client.hold(); };
  ClientOfGateway ada = before.gateway_client(Protocol::kText);
  ClientOfGateway bob = before.gateway_client(Protocol::kText);
  before.plugin().gateway().set_session(bob.id(), "bob's");
  ada.send("one");
  before.hand_over_to(after);
  bob.send("two");
  CHECK(after.plugin().heard == Lines{"text two"});
  bob.close();
  CHECK(after.plugin().heard.back().ends_with(" of /bob's"));
  ada.send("three");
  CHECK(after.plugin().heard.size() == 2);
  kept.acknowledge();
  after.run();
  CHECK(after.plugin().heard.back() == "text three");
  before.stop();
  CHECK(ada.is_open());
  CHECK(&before.gateway() == &after.gateway());
}

TEST_CASE("with no worker events wait, and a client that nobody has heard of is forgotten") {
  const auto gateway = std::make_shared<SharedGateway>();
  auto first = std::make_unique<HarnessOf<Desk>>(testing::Options{.gateway = gateway});
  ClientOfGateway ada = first->gateway_client(Protocol::kText);
  first.reset();
  ada.send("is anybody there?");
  auto second = std::make_unique<HarnessOf<Desk>>(testing::Options{.gateway = gateway});
  CHECK(second->plugin().heard == Lines{"text is anybody there?"});

  second->drain();
  ada.send("still?");
  ClientOfGateway bob = second->gateway_client(Protocol::kText);
  ClientOfGateway eve = second->gateway_client(Protocol::kText);
  bob.close();
  CHECK(second->plugin().heard.size() == 1);
  HarnessOf<Desk> third({.gateway = gateway});
  CHECK(third.plugin().heard == Lines{"text still?", "connect text"});
}

TEST_CASE("a hook that throws is logged, and its event counts as handled") {
  HarnessOf<Desk> desk;
  desk.plugin().at_message = [](GatewayClient&, Message message) {
    if (message == "bad") throw std::runtime_error("not that");
  };
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  ada.send("bad");
  CHECK(desk.logged() == "error: on_client_message: std::runtime_error: not that\n");
  ada.send("good");
  CHECK(desk.plugin().heard.back() == "text good");
  CHECK(ada.is_open());
}

TEST_CASE("no more than 64 events of a client are with a worker at a time") {
  HarnessOf<Desk> desk;
  std::vector<EventHold> held;
  desk.plugin().at_message = [&](GatewayClient& client, Message) { held.push_back(client.hold()); };
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  for (int i = 0; i < 70; ++i) ada.send(std::to_string(i));
  CHECK(held.size() == 64);
  held.erase(held.begin(), held.begin() + 6);
  desk.run();
  CHECK(held.size() == 64);
  CHECK(desk.plugin().heard.back() == "text 69");
}
