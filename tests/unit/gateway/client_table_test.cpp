#include "gateway/client_table.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace appserver::gateway;

namespace {

template <class T>
std::vector<T> sorted(std::vector<T> values) {
  std::ranges::sort(values);
  return values;
}

// What the table is to be, the slow and plain way.
struct Model {
  struct Client {
    std::string uid;
    std::set<std::string> groups;
    std::string session;
    std::uint64_t version = 0;
  };
  std::map<Serial, Client> clients;

  template <class Has>
  std::vector<Serial> those(Has&& has) const {
    std::vector<Serial> serials;
    for (const auto& [serial, client] : clients) {
      if (has(client)) serials.push_back(serial);
    }
    return serials;
  }
  std::set<std::string> uids() const {
    std::set<std::string> names;
    for (const auto& [serial, client] : clients) {
      if (!client.uid.empty()) names.insert(client.uid);
    }
    return names;
  }
  std::set<std::string> groups() const {
    std::set<std::string> names;
    for (const auto& [serial, client] : clients)
      names.insert(client.groups.begin(), client.groups.end());
    return names;
  }
};

std::set<std::string> as_set(const std::vector<std::string_view>& names) {
  std::set<std::string> set(names.begin(), names.end());
  REQUIRE(set.size() == names.size());
  return set;
}

void compare(ClientTable& table, const Model& model) {
  REQUIRE(sorted(table.all()) == model.those([](const auto&) { return true; }));
  REQUIRE(as_set(table.uids()) == model.uids());
  REQUIRE(as_set(table.groups()) == model.groups());
  for (const std::string& uid : model.uids()) {
    const auto expected = model.those([&](const auto& client) { return client.uid == uid; });
    REQUIRE(sorted(table.of_uids({uid, uid})) == expected);
    REQUIRE(table.count_of_uid(uid) == expected.size());
  }
  const std::set<std::string> groups = model.groups();
  for (const std::string& group : groups) {
    const auto expected =
        model.those([&](const auto& client) { return client.groups.contains(group); });
    REQUIRE(sorted(table.of_groups({group})) == expected);
    REQUIRE(table.count_of_group(group) == expected.size());
  }
  const std::vector<std::string_view> every(groups.begin(), groups.end());
  REQUIRE(sorted(table.of_groups(every)) ==
          model.those([](const auto& client) { return !client.groups.empty(); }));
  for (const auto& [serial, client] : model.clients) {
    REQUIRE(table.uid(serial) == client.uid);
    REQUIRE(as_set(table.groups_of(serial)) == client.groups);
    REQUIRE(table.session(serial)->bytes == client.session);
    REQUIRE(table.session(serial)->version == client.version);
  }
}

// One change, to both.
void change(ClientTable& table, Model& model, std::mt19937& random) {
  const auto below = [&](unsigned bound) { return random() % bound; };
  const Serial serial = 1 + below(40);
  const std::string uid = "u" + std::to_string(below(8));
  const std::string group = "g" + std::to_string(below(8));
  const auto known = model.clients.find(serial);
  const bool is_known = known != model.clients.end();
  const auto result = is_known ? TableResult::ok : TableResult::no_client;
  switch (below(8)) {
    case 0:
      if (is_known) break;
      table.add(serial, serial + 1000);
      model.clients[serial];
      break;
    case 1:
      if (below(3) != 0) break;
      table.remove(serial);
      model.clients.erase(serial);
      break;
    case 2:
      REQUIRE(table.bind_uid(serial, uid) == result);
      if (is_known) known->second.uid = uid;
      break;
    case 3:
      REQUIRE(table.unbind_uid(serial) == result);
      if (is_known) known->second.uid.clear();
      break;
    case 4:
      REQUIRE(table.join(serial, group) == result);
      if (is_known) known->second.groups.insert(group);
      break;
    case 5:
      REQUIRE(table.leave(serial, group) == result);
      if (is_known) known->second.groups.erase(group);
      break;
    case 6:
      if (below(8) != 0) break;
      table.ungroup(group);
      for (auto& [each, client] : model.clients) client.groups.erase(group);
      break;
    default:
      REQUIRE(table.set_session(serial, uid, std::nullopt) == result);
      if (!is_known) break;
      known->second.session = uid;
      ++known->second.version;
  }
}

}  // namespace

TEST_CASE("the table holds what a plain model of it holds, after any changes") {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    std::mt19937 random(seed);
    ClientTable table;
    Model model;
    for (int step = 0; step < 3000; ++step) {
      change(table, model, random);
      if (step % 10 == 0) compare(table, model);
    }
    for (const Serial serial : table.all()) table.remove(serial);
    compare(table, Model{});
  }
}

TEST_CASE("a session is changed only where it has the version that is expected") {
  ClientTable table;
  table.add(1, 0);
  CHECK(table.set_session(1, "a", 1) == TableResult::conflict);
  CHECK(table.set_session(1, "a", 0) == TableResult::ok);
  CHECK(table.set_session(1, "b", 0) == TableResult::conflict);
  CHECK(table.session(1)->bytes == "a");
  CHECK(table.set_session(1, "b", 1) == TableResult::ok);
  CHECK(table.set_session(1, "c", std::nullopt) == TableResult::ok);
  CHECK(table.session(1)->version == 3);
  CHECK(table.session(2) == nullptr);
}

TEST_CASE("names and sessions have their bounds") {
  ClientTable table;
  table.add(1, 0);
  const std::string longest(ClientTable::kMaxName, 'n');
  CHECK(table.bind_uid(1, "") == TableResult::invalid);
  CHECK(table.bind_uid(1, longest) == TableResult::ok);
  CHECK(table.bind_uid(1, longest + "n") == TableResult::invalid);
  CHECK(table.uid(1) == longest);
  CHECK(table.join(1, "") == TableResult::invalid);
  CHECK(table.join(1, longest) == TableResult::ok);
  CHECK(table.leave(1, longest + "n") == TableResult::invalid);
  CHECK(table.set_session(1, std::string(ClientTable::kMaxSession, 's'), {}) == TableResult::ok);
  CHECK(table.set_session(1, std::string(ClientTable::kMaxSession + 1, 's'), {}) ==
        TableResult::invalid);
}

TEST_CASE("a client is in so many groups and no more") {
  ClientTable table;
  table.add(1, 0);
  for (std::size_t i = 0; i < ClientTable::kMaxGroups; ++i)
    REQUIRE(table.join(1, std::to_string(i)) == TableResult::ok);
  CHECK(table.join(1, "one more") == TableResult::full);
  CHECK(table.join(1, "0") == TableResult::ok);
  CHECK(table.leave(1, "0") == TableResult::ok);
  CHECK(table.join(1, "one more") == TableResult::ok);
}

TEST_CASE("a client that goes is in no list any more") {
  ClientTable table;
  table.add(1, 11);
  table.bind_uid(1, "ann");
  table.join(1, "room");
  CHECK(table.connection(1) == 11);
  table.remove(1);
  CHECK(table.of_uids({"ann"}).empty());
  CHECK(table.of_groups({"room"}).empty());
  CHECK(table.uids().empty());
  CHECK(table.groups().empty());
  CHECK_FALSE(table.connection(1));
  table.remove(1);
}
