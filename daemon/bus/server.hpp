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

#include "bus/client.hpp"
#include "bus/store.hpp"
#include "os/fd.hpp"

namespace appserver::bus {

class Server final {
 public:
  Server(boost::asio::io_context& context, std::size_t max_bytes, std::uint64_t first_version)
      : context_(context), store_(max_bytes, first_version) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // A worker's connection; an earlier one of it ends.
  void add(os::Fd socket, std::uint64_t worker);
  std::size_t clients() const { return clients_.size(); }
  const Store& store() const { return store_; }

 private:
  void take(Client& client, const Message& message);
  void publish(const Message& message);
  void subscribe(Client& client, std::string_view topic);
  void unsubscribe(Client& client, std::string_view topic);
  void leave(Client& client, std::string_view topic);
  void removed(Client& client);
  static void answer(Client& client, const Message& message, const Store::Result& result);

  boost::asio::io_context& context_;
  Store store_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Client>> clients_;
  std::map<std::string, std::set<Client*>, std::less<>> topics_;
};

}  // namespace appserver::bus
