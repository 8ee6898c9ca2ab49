// The bus itself: brings what is published to who has subscribed, and keeps the store.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/client.hpp"
#include "bus/losses.hpp"
#include "bus/store.hpp"
#include "os/fd.hpp"

namespace appserver::bus {

class Server final {
 public:
  // Of `max_bytes` three quarters are for the store and a quarter for messages that wait, so that
  // neither full keys stop messages nor slow subscribers keys. Over the latter the client that
  // makes most packets wait loses its oldest message, or ends where it fetches no results. Of the
  // former no group can take the last eighth from the others.
  Server(boost::asio::io_context& context, std::size_t max_bytes, std::uint64_t first_version)
      : context_(context),
        budget_(max_bytes / 4),
        store_(max_bytes - max_bytes / 4, first_version) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // A worker's connection; an earlier one of it ends. `name` begins with its group and a slash.
  void add(os::Fd socket, std::uint64_t worker, std::string name = {});
  std::size_t clients() const { return clients_.size(); }
  const Store& store() const { return store_; }

  struct Statistics {
    std::size_t memory = 0;  // of max_bytes
    std::size_t keys = 0;
    std::size_t topics = 0;
    std::size_t subscriptions = 0;
    std::uint64_t sent = 0;     // messages, once for each subscriber
    std::uint64_t dropped = 0;  // for a subscriber that was too slow
  };
  Statistics statistics() const;
  // Warnings of what was dropped or refused, and who was closed, for the log.
  std::vector<std::string> report(Time now) { return losses_.report(now); }

 private:
  void make_room();
  void take(Client& client, const Message& message);
  void publish(const Client& from, const Message& message);
  void subscribe(Client& client, std::string_view topic);
  void unsubscribe(Client& client, std::string_view topic);
  void leave(Client& client, std::string_view topic);
  void removed(Client& client);
  void answer(Client& client, const Message& message, const Store::Result& result);

  boost::asio::io_context& context_;
  // What waits at a client is counted there to the end.
  Budget budget_;
  Client::Count count_;
  Losses losses_;
  os::Closer closer_;
  Store store_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Client>> clients_;
  std::map<std::string, std::set<Client*>, std::less<>> topics_;
};

}  // namespace appserver::bus
