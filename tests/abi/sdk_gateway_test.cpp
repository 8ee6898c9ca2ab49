// Clients of a gateway, through the C++ layer and the test kit.
#include <appserver/plugin.hpp>
#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
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

class NoClients final : public Plugin {
 public:
  using Plugin::worker;
};

// Keeps the outcome of a question, as its value or its words.
template <class T>
struct Kept {
  std::optional<T> value;
  std::string error;
  int calls = 0;

  auto done() {
    return [this](Outcome<T> outcome) {
      ++calls;
      try {
        value = outcome.value();
      } catch (const std::exception& why) {
        error = why.what();
      }
    };
  }
};

std::string reason(CloseReason why) { return std::to_string(static_cast<unsigned>(why)); }

Lines texts(ClientOfGateway& client) {
  Lines all;
  for (const auto& each : client.receive_all()) all.push_back(each.bytes);
  return all;
}

std::set<ClientId> ids(const GatewayAnswer<std::vector<ClientRecord>>& answer) {
  std::set<ClientId> found;
  for (const ClientRecord& record : answer.value) found.insert(record.client);
  return found;
}

}  // namespace

TEST_CASE("a client's events come to the hooks in their order, with what is known of it") {
  HarnessOf<Desk> desk;
  ClientOfGateway ada = desk.gateway_websocket({.target = "/in?x=1", .remote = "192.0.2.9:1"});
  ada.send("hello");
  ada.send_binary("\x01\x02");
  ada.close(4001, "bye");
  CHECK(desk.plugin().heard == Lines{"connect websocket",
                                     "open /in?x=1 of 192.0.2.9:1 at ws://198.51.100.1:80",
                                     "text hello", "bytes \x01\x02",
                                     "close " + reason(CloseReason::kPeer) + " 4001 bye of /"});
  CHECK_FALSE(ada.is_open());
  CHECK_FALSE(ada.send("late"));

  desk.plugin().heard.clear();
  ClientOfGateway line = desk.gateway_client(Protocol::kText);
  CHECK(line.id() != ada.id());
  CHECK_THROWS_AS(line.send("two\nlines"), std::invalid_argument);
  line.send("one");
  line.reset();
  CHECK(desk.plugin().heard ==
        Lines{"connect text", "text one",
              "close " + reason(CloseReason::kFailure) + " 0 Connection reset by peer of /"});
}

TEST_CASE("what is sent reaches those that it is for, each once") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  ClientOfGateway bob = desk.gateway_client(Protocol::kWebSocket);
  ClientOfGateway eve = desk.gateway_client(Protocol::kFrame);
  gateway.bind_uid(ada.id(), "ada");
  gateway.bind_uid(bob.id(), "ada");
  gateway.join_group(bob.id(), "room");
  gateway.join_group(eve.id(), "room");
  gateway.join_group(eve.id(), "hall");
  CHECK(desk.gateway().of_uid("ada") == std::vector<ClientId>{ada.id(), bob.id()});
  CHECK(desk.gateway().in_group("room") == std::vector<ClientId>{bob.id(), eve.id()});
  CHECK(eve.groups() == std::set<std::string>{"hall", "room"});

  gateway.send_to_all("all");
  gateway.send_to_all("but bob", {bob.id()});
  gateway.send_to_client(eve.id(), "eve");
  gateway.send_to_uid("ada", "uid");
  gateway.send(Audience::groups({"room", "hall"}), "groups");
  gateway.send(Audience::clients({ada.id(), ada.id()}), "clients");
  CHECK(texts(ada) == Lines{"all", "but bob", "uid", "clients"});
  CHECK(texts(bob) == Lines{"all", "uid", "groups"});
  CHECK(texts(eve) == Lines{"all", "but bob", "eve", "groups"});

  gateway.send_binary(Audience::client(bob.id()), "\xff");
  const auto received = bob.receive_all();
  REQUIRE(received.size() == 1);
  CHECK_FALSE(received[0].is_text);

  gateway.leave_group(bob.id(), "room");
  gateway.unbind_uid(bob.id());
  CHECK(bob.groups().empty());
  CHECK(bob.uid().empty());
  gateway.ungroup("room");
  CHECK(eve.groups() == std::set<std::string>{"hall"});
}

TEST_CASE("business code ends clients: behind what was sent, or at once") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kWebSocket);
  ClientOfGateway bob = desk.gateway_client(Protocol::kText);
  desk.plugin().heard.clear();
  gateway.close_client(ada.id(), 70, "no such code");
  desk.run();
  CHECK(ada.is_open());
  CHECK(desk.logged().find("a code or reason that may not be sent") != std::string::npos);
  ada.stop_reading();
  gateway.send_to_client(ada.id(), "last");
  gateway.close_client(ada.id(), 4000, "enough");
  desk.run();
  CHECK(desk.plugin().heard.empty());
  ada.read();
  CHECK(ada.receive() == "last");
  CHECK(ada.close_code() == 4000);
  CHECK(ada.close_reason() == "enough");
  gateway.send_to_client(bob.id(), "lost");
  bob.stop_reading();
  gateway.destroy_client(bob.id());
  desk.run();
  CHECK(bob.was_reset());
  CHECK_FALSE(bob.receive());
  const std::string by_plugin = "close " + reason(CloseReason::kPlugin);
  CHECK(desk.plugin().heard == Lines{by_plugin + " 4000  of /", by_plugin + " 0  of /"});
  CHECK(desk.gateway().clients().empty());
}

TEST_CASE("a worker knows of its clients what it has done, and what the gateway has told") {
  HarnessOf<Desk> desk;
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  std::string in_hook;
  std::uint64_t version = 9;
  desk.plugin().at_message = [&](GatewayClient& client, Message) {
    version = client.session_version();
    client.bind_uid("ada");
    client.set_session("s1");
    in_hook = std::string(client.uid()) + "/" + std::string(client.session());
  };
  ada.send("one");
  CHECK(in_hook == "ada/s1");
  CHECK(version == 0);
  CHECK(ada.session() == "s1");
  CHECK(ada.session_version() == 1);
  ada.send("two");
  CHECK(version == 1);
  ada.close();
  CHECK(desk.plugin().heard.back().ends_with(" of ada/s1"));
  CHECK(ada.session().empty());
}

TEST_CASE("a plugin that knows fewer facts of a client gets these") {
  HarnessOf<Desk> desk;
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  const auto& table =
      *static_cast<const appserver_gateway_host*>(desk.host().table().extension(APPSERVER_GATEWAY));
  appserver_client_info info{};
  info.size = offsetof(appserver_client_info, uid);
  info.session_version = 7;
  REQUIRE(table.client_info(desk.host().worker(), ada.id().raw(), &info) == APPSERVER_OK);
  CHECK(info.size == offsetof(appserver_client_info, uid));
  CHECK(detail::view(info.listener) == "text://198.51.100.1:80");
  CHECK(info.session_version == 7);
  CHECK(table.client_info(desk.host().worker(), {1, 1}, &info) == APPSERVER_NOT_FOUND);
}

TEST_CASE("a session is set where it has the version that was told") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  Kept<std::optional<std::uint64_t>> first;
  Kept<std::optional<std::uint64_t>> second;
  gateway.compare_and_set_session(ada.id(), 0, "one", first.done());
  gateway.compare_and_set_session(ada.id(), 0, "two", second.done());
  CHECK(first.calls == 0);
  desk.run();
  REQUIRE(first.value);
  CHECK(*first.value == 1U);
  REQUIRE(second.value);
  CHECK_FALSE(*second.value);
  CHECK(ada.session() == "one");

  Kept<std::optional<ClientSession>> session;
  gateway.get_session(ada.id(), session.done());
  desk.run();
  REQUIRE((session.value && *session.value));
  CHECK((*session.value)->bytes == "one");
  CHECK((*session.value)->version == 1);

  ada.close();
  Kept<std::optional<std::uint64_t>> gone;
  gateway.compare_and_set_session(ada.id(), 1, "three", gone.done());
  gateway.get_session(ada.id(), session.done());
  desk.run();
  REQUIRE(gone.value);
  CHECK_FALSE(*gone.value);
  REQUIRE(session.value);
  CHECK_FALSE(*session.value);
}

TEST_CASE("questions about clients are answered in a later turn, from what the gateway keeps") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  ClientOfGateway bob = desk.gateway_client(Protocol::kText);
  gateway.bind_uid(ada.id(), "ada");
  gateway.set_session(ada.id(), "mine");
  gateway.join_group(ada.id(), "room");
  gateway.join_group(bob.id(), "room");

  Kept<GatewayAnswer<bool>> online;
  gateway.is_online(bob.id(), online.done());
  CHECK(online.calls == 0);
  Kept<GatewayAnswer<std::uint64_t>> count;
  gateway.client_count_by_group("room", count.done());
  Kept<GatewayAnswer<std::vector<ClientRecord>>> clients;
  gateway.client_ids_by_group("room", clients.done());
  Kept<GatewayAnswer<std::vector<ClientRecord>>> sessions;
  gateway.client_sessions(Audience::uid("ada"), sessions.done());
  Kept<std::optional<std::string>> uid;
  gateway.uid_by_client_id(ada.id(), uid.done());
  Kept<GatewayAnswer<std::map<std::string, std::uint64_t>>> uids;
  gateway.uids_by_group("room", uids.done());
  Kept<GatewayAnswer<std::map<std::string, std::uint64_t>>> groups;
  gateway.all_groups(groups.done());
  desk.run();
  CHECK(online.value->value);
  CHECK(count.value->value == 2);
  CHECK_FALSE(count.value->partial);
  CHECK(ids(*clients.value) == std::set<ClientId>{ada.id(), bob.id()});
  CHECK_FALSE(clients.value->value.front().session);
  REQUIRE(sessions.value->value.size() == 1);
  CHECK(sessions.value->value.front().uid == "ada");
  CHECK(sessions.value->value.front().session->bytes == "mine");
  CHECK(**uid.value == "ada");
  CHECK(uids.value->value == std::map<std::string, std::uint64_t>{{"ada", 1}});
  CHECK(groups.value->value == std::map<std::string, std::uint64_t>{{"room", 2}});

  CHECK(desk.get("/").body() == "2 with ada");
  ada.close();
  CHECK(desk.get("/").body() == "1 without ada");
}

TEST_CASE("an answer is partial where a gateway worker is away, and at the timeout") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  Kept<GatewayAnswer<std::uint64_t>> count;
  desk.gateway().set_partial(true);
  gateway.all_client_count(count.done());
  desk.run();
  CHECK(count.value->value == 1);
  CHECK(count.value->partial);

  desk.gateway().set_partial(false);
  desk.gateway().set_silent(true);
  gateway.set_timeout(200ms);
  Kept<std::optional<std::uint64_t>> set;
  gateway.compare_and_set_session(ada.id(), 0, "done all the same", set.done());
  desk.advance(199ms);
  CHECK(set.calls == 0);
  desk.advance(1ms);
  CHECK(set.error == GatewayUnreachable().what());
  CHECK(ada.session() == "done all the same");
}

TEST_CASE("without a gateway worker nothing is sent, and questions say so") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  gateway.bind_uid(ada.id(), "ada");
  Kept<GatewayAnswer<std::uint64_t>> asked_before;
  gateway.all_client_count(asked_before.done());
  desk.gateway().lose();
  CHECK(ada.was_reset());
  CHECK_FALSE(gateway.send_to_all("anybody?"));
  Kept<GatewayAnswer<std::uint64_t>> count;
  gateway.all_client_count(count.done());
  CHECK_THROWS_AS(desk.gateway_client(Protocol::kText), std::logic_error);
  desk.run();
  CHECK(asked_before.value->partial);
  CHECK(count.value->partial);
  CHECK(count.value->value == 0);
  CHECK(desk.plugin().heard.back() == "close " + reason(CloseReason::kFailure) +
                                          " 0 the link to its gateway worker has ended of ada/");

  desk.gateway().restore();
  CHECK(gateway.send_to_all("anybody?"));
  CHECK_FALSE(gateway.send_to_client(ada.id(), "of another gateway worker"));
  Kept<std::optional<ClientSession>> session;
  gateway.get_session(ada.id(), session.done());
  desk.run();
  CHECK(session.error == GatewayUnreachable().what());
  CHECK(desk.gateway_client(Protocol::kText).id() != ada.id());
}

TEST_CASE("what cannot be is refused as in a worker") {
  HarnessOf<Desk> desk;
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  CHECK_THROWS_AS(gateway.join_group(ada.id(), ""), std::invalid_argument);
  CHECK_THROWS_AS(gateway.bind_uid(ada.id(), std::string(256, 'u')), std::invalid_argument);
  CHECK_THROWS_AS(gateway.send_to_group(std::string(256, 'g'), "x"), std::invalid_argument);
  CHECK_THROWS_AS(gateway.set_session(ada.id(), std::string(65537, 's')), std::invalid_argument);
  CHECK_THROWS_AS(gateway.send_to_all(std::string((std::size_t{32} << 20) + 1, 'm')),
                  std::invalid_argument);
  for (int i = 0; i < 300; ++i) gateway.join_group(ada.id(), "group " + std::to_string(i));
  CHECK(ada.groups().size() == APPSERVER_GATEWAY_GROUPS_MAX);
  desk.gateway().set_full(true);
  CHECK_THROWS_AS(gateway.send_to_all("x"), GatewayFull);
  Kept<GatewayAnswer<std::uint64_t>> count;
  CHECK_THROWS_AS(gateway.all_client_count(count.done()), GatewayFull);
  desk.gateway().set_full(false);
  std::thread([&] {
    CHECK_THROWS_AS(gateway.send_to_all("from elsewhere"), std::invalid_argument);
  }).join();

  HarnessOf<NoClients> none;
  CHECK_THROWS_AS(none.gateway_client(Protocol::kText), std::logic_error);
  CHECK_FALSE(none.plugin().worker().gateway().send_to_all("x"));
  CHECK_THROWS_AS(none.plugin().worker().gateway().all_client_count(count.done()), GatewayError);
}

TEST_CASE("a client that does not take what is sent is cut, and what it cannot get is dropped") {
  HarnessOf<Desk> desk({.max_message = 100, .send_buffer = 150});
  Gateway& gateway = desk.plugin().gateway();
  ClientOfGateway ada = desk.gateway_client(Protocol::kText);
  gateway.send_to_client(ada.id(), "two\nlines");
  gateway.send_to_client(ada.id(), std::string(101, 'x'));
  CHECK_FALSE(ada.receive());
  CHECK(desk.logged().find("gateway: business code sends what a client's protocol cannot carry") !=
        std::string::npos);
  ada.stop_reading();
  for (int i = 0; i < 2; ++i) gateway.send_to_client(ada.id(), std::string(100, 'x'));
  CHECK(ada.is_open());
  gateway.send_to_client(ada.id(), "too much");
  desk.run();
  CHECK(ada.was_reset());
  CHECK(desk.plugin().heard.back() == "close " + reason(CloseReason::kPlugin) + " 0  of /");

  ClientOfGateway bob = desk.gateway_client(Protocol::kWebSocket);
  bob.send(std::string(101, 'x'));
  CHECK(bob.close_code() == 1009);
  CHECK(desk.plugin().heard.back().starts_with("close " + reason(CloseReason::kLimit) + " 1009"));
}
