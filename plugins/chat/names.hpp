// Names are unique, over all workers and clients of a gateway, and nobody keeps a list of them: a
// name is in use as long as a client with this uid is connected.
#pragma once

#include <appserver/plugin.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wire.hpp"

namespace chat {

// `again`: it may go well later.
struct Refusal {
  std::string why;
  bool again = false;
};

// The lease under which one client takes a name.
struct Claim {
  std::string key;
  std::chrono::steady_clock::time_point until;
  bool came_back = false;  // from a connection that is over, or was lost

  bool holds() const { return std::chrono::steady_clock::now() < until; }
};

// Two workers that give one name to two clients at the same moment would each find it free. So who
// takes one holds a lease of it, a key of the bus, until its gateway knows that the client has it;
// a worker that ends before leaves a lease that runs out.
class Names {
 public:
  using Workers = appserver::GatewayAnswer<std::vector<appserver::ClientRecord>>;

  explicit Names(appserver::Worker& worker) : worker_(worker) {}

  // Nothing: the name is this client's while the claim holds; bind it, then release. A client that
  // has the name is closed where it came with the same key: the same page, before its line broke.
  appserver::Task<std::optional<Refusal>> take(appserver::ClientId client, const Wish& wish,
                                               Claim& claim) {
    const std::string uid = folded(wish.name);
    claim.key = "chat/" + std::string(worker_.group()) + "/" + uid;
    claim.until = std::chrono::steady_clock::now() + kUsable;
    const bool leased = co_await lease(client, claim.key);
    if (!leased) co_return Refusal{"somebody takes this name just now", true};
    const Workers others = co_await appserver::awaitable<Workers>(
        [&](auto done) { worker_.gateway().client_sessions(appserver::Audience::uid(uid), done); });
    if (others.partial) co_return Refusal{"nobody can tell now whether this name is free", true};
    for (const appserver::ClientRecord& other : others.value) {
      if (other.client != client && !is_same_page(other, wish)) {
        release(claim);
        co_return Refusal{"this name is taken", false};
      }
    }
    for (const appserver::ClientRecord& other : others.value) {
      if (other.client == client) continue;
      claim.came_back = true;
      retire(other.client);
    }
    co_return std::nullopt;
  }

  // Once the gateway knows who has the name. A lease that may have run out is left alone: it may be
  // another's by now.
  void release(const Claim& claim) {
    if (!claim.holds()) return;
    try {
      worker_.bus().erase(claim.key, [](const appserver::Outcome<bool>&) {});
    } catch (const appserver::BusError& error) {
      worker_.warn("a name is not free for a while: " + std::string(error.what()));
    }
  }

 private:
  // The bus takes a while to hear of the lease, and to be told of its end.
  static constexpr std::chrono::seconds kLease{15};
  static constexpr std::chrono::seconds kUsable{10};

  // One that this client has already is another worker's, which has ended meanwhile.
  appserver::Task<bool> lease(appserver::ClientId client, const std::string& key) {
    using Version = std::optional<std::uint64_t>;
    using Value = std::optional<appserver::BusValue>;
    const std::string holder = client.text();
    const Version taken = co_await appserver::awaitable<Version>(
        [&](auto done) { worker_.bus().set_if_absent(key, holder, kLease, done); });
    if (taken) co_return true;
    const Value found =
        co_await appserver::awaitable<Value>([&](auto done) { worker_.bus().get(key, done); });
    co_return found.has_value() && found->value == holder;
  }

  static bool is_same_page(const appserver::ClientRecord& other, const Wish& wish) {
    if (wish.key.empty() || !other.session) return false;
    const auto member = from_session(other.session->bytes);
    return member && member->key == wish.key;
  }

  // Without a session nobody is told that it has left.
  void retire(appserver::ClientId client) {
    worker_.gateway().set_session(client, {});
    worker_.gateway().unbind_uid(client);
    worker_.gateway().close_client(client, kCameAgain, "you have come again");
  }

  static constexpr std::uint16_t kCameAgain = 4001;

  appserver::Worker& worker_;
};

}  // namespace chat
