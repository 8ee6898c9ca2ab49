// The gateway that the workers of one test are behind.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>
#include <appserver/abi/stream.h>

#include <algorithm>
#include <appserver/client_id.hpp>
#include <appserver/detail/testing/gateway_clients.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// Given to several harnesses (Options::gateway), it has all of them behind it. One gateway worker,
// that delivers at least once; without any worker behind it what comes waits, with no bound of
// memory or time. Events and answers reach a plugin when its own harness runs: `harness.run()`. For
// one thread.
class SharedGateway {
 public:
  // Of one client, as in a gateway worker.
  static constexpr std::size_t kMostUnacknowledged = 64;
  static constexpr std::size_t kMostGroups = APPSERVER_GATEWAY_GROUPS_MAX;
  static constexpr std::size_t kMostAnswer = std::size_t{32} << 20;

  SharedGateway() : instance_(some_instance()) {}
  SharedGateway(const SharedGateway&) = delete;
  SharedGateway& operator=(const SharedGateway&) = delete;

  // The gateway worker crashes: its clients are cut, what is asked ends as partial, and there is
  // none until restore().
  void lose() {
    const std::uint64_t lost = std::exchange(instance_, 0);
    for (const auto& [serial, client] : clients_) {
      client->served.closed = client->served.wire->was_reset = true;
      client->with = nullptr;
    }
    clients_.clear();
    owed_.clear();
    for (const Member& each : std::vector<Member>(members_)) each.member->was_lost(lost);
  }
  // Another one, with other ids.
  void restore() {
    if (instance_ == 0) instance_ = some_instance();
  }
  // While set, another worker of the gateway group is away: answers are partial.
  void set_partial(bool partial) { partial_ = partial; }
  // While set, what is asked is done and not answered: it ends as partial when the test has moved
  // the clock over its timeout.
  void set_silent(bool silent) { silent_ = silent; }
  // While set, 64 MiB wait for it: GatewayFull.
  void set_full(bool full) { full_ = full; }

  // Those that are connected.
  std::vector<ClientId> clients() const {
    return ids([](const KeptClient&) { return true; });
  }
  std::vector<ClientId> of_uid(std::string_view uid) const {
    return ids([&](const KeptClient& client) { return client.uid == uid; });
  }
  std::vector<ClientId> in_group(std::string_view group) const {
    return ids([&](const KeptClient& client) { return client.groups.contains(group); });
  }

  // All below is for GatewayHost and ClientOfGateway. 0: there is no gateway worker.
  std::uint64_t instance() const { return instance_; }
  bool is_partial() const { return partial_; }
  bool is_silent() const { return silent_; }
  bool is_full() const { return full_; }
  bool has_clients() const { return !clients_.empty(); }

  void join(GatewayMember& member) {
    if (find(member) != nullptr) return;
    members_.push_back({&member, false});
    for (const auto& [serial, client] : clients_) {
      if (client->with == nullptr) assign(*client);
    }
  }
  // It gets no event any more; clients for whom it owes nothing go to others.
  void drain(const GatewayMember& member) {
    Member* const found = find(member);
    if (found == nullptr) return;
    found->draining = true;
    for (const auto& [serial, client] : clients_) {
      if (client->with == &member && client->given.empty()) assign(*client);
    }
  }
  // What it has not acknowledged is given once more, to others.
  void leave(const GatewayMember& member) {
    std::erase_if(members_, [&](const Member& each) { return each.member == &member; });
    for (const auto& client : snapshot()) {
      if (client->with != &member) continue;
      for (auto each = client->given.rbegin(); each != client->given.rend(); ++each) {
        owed_.erase(each->first);
        each->second.redelivered = true;
        client->waiting.push_front(std::move(each->second));
      }
      client->given.clear();
      client->with = nullptr;
      assign(*client);
    }
  }

  // Throws std::logic_error where the gateway is lost. `request`: that a WebSocket began with.
  std::shared_ptr<KeptClient> connect(GatewayMember& member, KeptClient made,
                                      std::shared_ptr<const HttpRequest> request) {
    if (instance_ == 0) throw std::logic_error("a client for a gateway that is lost: restore() it");
    const auto client = std::make_shared<KeptClient>(std::move(made));
    client->id = {instance_, ++last_client_};
    clients_[last_client_] = client;
    if (is_ready(member)) {
      client->with = &member;
      member.assigned(*client);
    } else {
      assign(*client);
    }
    add(*client, {});
    if (request)
      add(*client, {.kind = GatewayEvent::Kind::kWebSocketOpen, .request = std::move(request)});
    return client;
  }
  void add(KeptClient& client, GatewayEvent event) {
    event.place = ++last_place_;
    client.waiting.push_back(std::move(event));
  }

  struct Delivery {
    std::shared_ptr<KeptClient> client;
    std::uint64_t number;
    GatewayEvent event;
  };
  // The next event for this member.
  std::optional<Delivery> next(const GatewayMember& member) {
    if (!is_ready(member)) return std::nullopt;
    std::shared_ptr<KeptClient> first;
    for (const auto& [serial, client] : clients_) {
      if (client->with != &member || client->waiting.empty()) continue;
      if (client->given.size() >= kMostUnacknowledged) continue;
      if (!first || client->waiting.front().place < first->waiting.front().place) first = client;
    }
    if (!first) return std::nullopt;
    Delivery delivery{first, ++last_number_, std::move(first->waiting.front())};
    first->waiting.pop_front();
    first->given.emplace(delivery.number, delivery.event);
    owed_.emplace(delivery.number, std::move(first));
    return delivery;
  }
  // False: it is not owed any more.
  bool acknowledge(const GatewayMember& member, const appserver_client_event& event) {
    const auto found = owed_.find(event.number);
    if (event.gateway != instance_ || found == owed_.end() || found->second->with != &member)
      return false;
    const auto client = found->second;
    owed_.erase(found);
    if (client->given.at(event.number).kind == GatewayEvent::Kind::kClose) client->over = true;
    client->given.erase(event.number);
    if (client->over && client->given.empty() && client->waiting.empty()) {
      clients_.erase(client->id.serial);
    } else if (!is_ready(member) && client->given.empty()) {
      assign(*client);
    }
    return true;
  }

  // What was sent goes out, and who is to be closed is. Whether there was anything.
  bool settle() {
    bool any = false;
    for (const auto& client : snapshot()) any = settle(*client) || any;
    return any;
  }
  // It leaves its groups; its last event waits.
  void finish(KeptClient& client, std::uint32_t reason, const std::string& why) {
    Served& served = client.served;
    if (std::exchange(served.closed, true)) return;
    client.groups.clear();
    // One that nobody has heard of is forgotten.
    const bool is_new = client.given.empty() && client.waiting.size() == 1 &&
                        client.waiting.front().kind == GatewayEvent::Kind::kConnect &&
                        !client.waiting.front().redelivered && client.with == nullptr;
    if (is_new) {
      clients_.erase(client.id.serial);
      return;
    }
    const bool websocket = served.wire->protocol == Protocol::kWebSocket;
    add(client,
        {GatewayEvent::Kind::kClose, reason, websocket ? served.wire->client_code : 0U, why});
  }

  // In gateway_commands.hpp. `command` is a valid one; what cannot be done is told to `member`.
  GatewayResult run(GatewayMember& member, const appserver_gateway_command& command);

 private:
  struct Member {
    GatewayMember* member;
    bool draining;
  };
  using List = std::vector<std::shared_ptr<KeptClient>>;

  static std::uint64_t some_instance() {
    std::random_device random;
    return (std::uint64_t{random()} << 32U) | random() | 1U;
  }
  template <class Wanted>
  std::vector<ClientId> ids(Wanted&& wanted) const {
    std::vector<ClientId> found;
    for (const auto& [serial, client] : clients_) {
      if (client->is_connected() && wanted(*client)) found.emplace_back(client->id);
    }
    return found;
  }
  List snapshot() const {
    List all;
    for (const auto& [serial, client] : clients_) all.push_back(client);
    return all;
  }
  Member* find(const GatewayMember& member) {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& each) { return each.member == &member; });
    return found == members_.end() ? nullptr : &*found;
  }

  bool is_ready(const GatewayMember& member) {
    const Member* const found = find(member);
    return found != nullptr && !found->draining;
  }

  // To the one that has the fewest clients. Stays where it is while there is none.
  void assign(KeptClient& client) {
    Member* least = nullptr;
    std::size_t fewest = 0;
    for (Member& each : members_) {
      if (each.draining) continue;
      const auto count = static_cast<std::size_t>(
          std::count_if(clients_.begin(), clients_.end(),
                        [&](const auto& other) { return other.second->with == each.member; }));
      if (least != nullptr && count >= fewest) continue;
      least = &each;
      fewest = count;
    }
    client.with = least == nullptr ? nullptr : least->member;
    if (client.with != nullptr) client.with->assigned(client);
  }

  bool settle(KeptClient& client) {
    Served& served = client.served;
    Wire& wire = *served.wire;
    if (served.closed) return false;
    bool any = false;
    if (served.aborted) {
      wire.was_reset = true;
      served.pending.clear();
    } else if (wire.reads && !served.pending.empty()) {
      any = true;
      for (Received& each : served.pending) wire.received.push_back(std::move(each));
      served.pending.clear();
      served.unsent = 0;
      served.full = false;
    }
    if (!served.aborted && (!served.closing || !served.pending.empty())) return any;
    if (!served.aborted && wire.protocol == Protocol::kWebSocket) {
      wire.close_code = served.code == 0 ? std::uint16_t{1000} : served.code;
      wire.close_reason = served.told;
      if (!wire.client_closed) wire.client_code = wire.close_code;
    }
    finish(client, served.reason, served.why);
    return true;
  }

  // The parts of run(); `Command` stands for appserver_gateway_command.
  using Command = appserver_gateway_command;
  List targets(const Command& command) const;
  void send(GatewayMember& member, const Command& command);
  void close(GatewayMember& member, const Command& command);
  void ungroup(std::string_view group);
  static std::int32_t change(KeptClient& client, const Command& command, std::uint64_t& version);
  GatewayResult change(const Command& command);
  GatewayResult records(const Command& command) const;
  GatewayResult names(const Command& command) const;

  std::uint64_t instance_;
  std::map<std::uint64_t, std::shared_ptr<KeptClient>> clients_;  // by serial; also ended ones
  std::map<std::uint64_t, std::shared_ptr<KeptClient>> owed_;     // by the number of an event
  std::vector<Member> members_;
  std::uint64_t last_client_ = 0;
  std::uint64_t last_number_ = 0;
  std::uint64_t last_place_ = 0;
  bool partial_ = false;
  bool silent_ = false;
  bool full_ = false;
};

}  // namespace appserver::testing
