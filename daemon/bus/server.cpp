#include "bus/server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace appserver::bus {
namespace {

milliseconds to_duration(std::uint64_t count) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return milliseconds(static_cast<std::int64_t>(std::min(count, kMost)));
}

std::string_view group_of(const Client& client) {
  const std::string_view name = client.name();
  return name.substr(0, name.find('/'));
}

}  // namespace

Server::~Server() {
  while (!clients_.empty()) {
    const auto client = clients_.begin()->second;
    client->close();
  }
}

void Server::add(os::Fd socket, std::uint64_t worker, std::string name) {
  const auto earlier = clients_.find(worker);
  if (earlier != clients_.end()) {
    const auto client = earlier->second;
    client->close();
  }
  Client::Hooks hooks;
  hooks.message = [this](Client& client, const Message& message) { take(client, message); };
  hooks.over_budget = [this] { make_room(); };
  hooks.dropped = [this](Losses::Way way, std::string_view topic, Loss loss) {
    losses_.dropped(way, topic, loss);
  };
  hooks.refused = [this](Client& client, std::string_view why) {
    losses_.closed(client.name(), why);
  };
  hooks.closed = [this](Client& client) { removed(client); };
  const auto client =
      std::make_shared<Client>(context_, std::move(socket), worker, std::move(name),
                               Client::Shared{budget_, count_, closer_}, std::move(hooks));
  clients_[worker] = client;
  client->start();
}

void Server::take(Client& client, const Message& message) {
  const Header& header = message.header;
  const Time now = std::chrono::steady_clock::now();
  switch (header.kind) {
    case Kind::subscribe:
      return subscribe(client, message.name);
    case Kind::unsubscribe:
      return unsubscribe(client, message.name);
    case Kind::publish:
      return publish(client, message);
    case Kind::get:
      return answer(client, message, store_.get(message.name, now));
    case Kind::set:
      return answer(
          client, message,
          store_.set(message.name, message.value, to_duration(header.number),
                     static_cast<Condition>(header.detail), header.version, group_of(client), now));
    case Kind::add:
      return answer(client, message,
                    store_.add(message.name, static_cast<std::int64_t>(header.number),
                               to_duration(header.version), group_of(client), now));
    case Kind::erase:
      return answer(client, message, store_.erase(message.name, now));
    default:
      return client.close();
  }
}

void Server::answer(Client& client, const Message& message, const Store::Result& result) {
  if (result.status == Status::full) {
    losses_.refused(client.name(),
                    fmt::format("keys take what they may of daemon.bus.memory, those of group {} "
                                "the most: raise that, or give keys a time to live",
                                store_.largest_owner()));
  }
  Header header;
  header.detail = static_cast<std::uint8_t>(result.status);
  header.id = message.header.id;
  header.number = static_cast<std::uint64_t>(result.sum);
  header.version = result.version;
  client.answer(header, result.value);
}

void Server::publish(const Client& from, const Message& message) {
  const auto found = topics_.find(message.name);
  if (found == topics_.end()) return;
  Header header;
  header.kind = Kind::deliver;
  const auto packet = std::make_shared<const Packet>(
      budget_, encode(header, message.name, message.value), from.shared_name());
  // One that takes nothing more is closed by this, and leaves the set.
  std::vector<std::shared_ptr<Client>> subscribers;
  for (Client* const client : found->second) subscribers.push_back(client->shared_from_this());
  for (const auto& client : subscribers) client->deliver(packet);
}

// Each round takes one packet out of a queue.
void Server::make_room() {
  while (budget_.is_exceeded()) {
    const auto most = std::ranges::max_element(
        clients_, {}, [](const auto& each) { return each.second->waiting_bytes(); });
    if (most == clients_.end() || most->second->waiting_bytes() == 0) return;
    const auto client = most->second;
    if (!client->drop_oldest(Loss::memory)) client->refuse(Client::kFetchesNothing);
  }
}

Server::Statistics Server::statistics() const {
  Statistics result{store_.bytes() + budget_.used(),
                    store_.size(),
                    topics_.size(),
                    0,
                    count_.sent,
                    count_.dropped};
  for (const auto& [topic, subscribers] : topics_) result.subscriptions += subscribers.size();
  return result;
}

void Server::subscribe(Client& client, std::string_view topic) {
  if (!client.subscribe(topic)) return client.refuse("it subscribes to more than 1000 topics");
  auto found = topics_.find(topic);
  if (found == topics_.end())
    found = topics_.emplace(std::string(topic), std::set<Client*>()).first;
  found->second.insert(&client);
}

void Server::unsubscribe(Client& client, std::string_view topic) {
  leave(client, topic);
  client.unsubscribe(topic);
}

void Server::leave(Client& client, std::string_view topic) {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return;
  found->second.erase(&client);
  if (found->second.empty()) topics_.erase(found);
}

void Server::removed(Client& client) {
  for (const auto& [topic, lost] : client.topics()) leave(client, topic);
  const auto found = clients_.find(client.worker());
  if (found != clients_.end() && found->second.get() == &client) clients_.erase(found);
}

}  // namespace appserver::bus
