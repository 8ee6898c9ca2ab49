// One worker at the bus.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "bus/protocol.hpp"
#include "os/fd.hpp"

namespace appserver::bus {

// What comes from it is hostile: on the first message that is none it is closed. What waits for it
// is bounded: over the bound the oldest message of a topic is dropped and counted; one that does
// not even fetch its results is closed.
class Client final : public std::enable_shared_from_this<Client> {
 public:
  static constexpr std::size_t kMaxWaiting = std::size_t{1} << 20;  // bytes

  struct Hooks {
    std::function<void(Client&, const Message&)> message;
    std::function<void(Client&)> closed;  // once, the last
  };

  Client(boost::asio::io_context& context, os::Fd socket, std::uint64_t worker, Hooks hooks);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start() { wait_to_read(); }
  std::uint64_t worker() const { return worker_; }

  bool subscribe(std::string_view topic);  // false over kMaxTopics
  void unsubscribe(std::string_view topic);
  // By topic: messages that were dropped since the last that was sent.
  const std::map<std::string, std::uint64_t, std::less<>>& topics() const { return lost_; }

  void deliver(std::shared_ptr<const std::string> packet, std::string_view topic);
  void answer(Header header, std::string_view value);
  void close();

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  struct Waiting {
    std::shared_ptr<const std::string> packet;
    std::string topic;  // empty: a result
  };

  void wait_to_read();
  void read();
  void push(Waiting waiting);
  bool drop_oldest();
  bool send(const Waiting& waiting);
  void send_waiting();
  void wait_to_write();

  Descriptor socket_;
  std::uint64_t worker_;
  Hooks hooks_;
  std::map<std::string, std::uint64_t, std::less<>> lost_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool writing_ = false;
};

}  // namespace appserver::bus
