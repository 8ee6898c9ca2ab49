// "bus/1": a worker's side of the bus.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/bus.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/losses.hpp"
#include "bus/protocol.hpp"
#include "os/fd.hpp"

namespace appserver::worker {

class PluginHost;

// Asks for a connection when it is first needed, and again when it is lost. Messages that no bus
// takes in time are dropped, with a warning. On the loop's thread only.
class BusHost final {
 public:
  static constexpr std::chrono::milliseconds kDeadline{2'000};      // of an operation
  static constexpr std::chrono::milliseconds kAskInterval{1'000};   // until it is asked again
  static constexpr std::size_t kMaxOperations = 10'000;             // under way
  static constexpr std::size_t kMaxWaiting = std::size_t{4} << 20;  // bytes that are not sent
  static constexpr std::size_t kMaxSubscriptions = 10'000;

  using Done = appserver_bus_done;
  using Deliver = void (*)(void* argument, appserver_str message, std::uint64_t lost) noexcept;
  using Reset = void (*)(void* argument) noexcept;

  BusHost(boost::asio::io_context& context, PluginHost& host);
  BusHost(const BusHost&) = delete;
  BusHost& operator=(const BusHost&) = delete;
  ~BusHost();

  // `ask` asks the supervisor for a connection, beyond those that it has given. Without it there is
  // no bus.
  void start(std::function<void(std::uint64_t given)> ask) { ask_ = std::move(ask); }
  void connected(os::Fd socket);
  // There is no call any more.
  void stop();

  // As abi/bus.h has them.
  std::int32_t publish(std::string_view topic, std::string_view message);
  std::int32_t subscribe(std::string_view topic, Deliver call, void* argument,
                         appserver_subscription& subscription);
  std::int32_t unsubscribe(appserver_subscription subscription);
  // get, set, add and erase: a result comes for the header's id, which is set here.
  std::int32_t operate(bus::Header header, std::string_view key, std::string_view value, Done done,
                       void* argument);
  std::int32_t on_reset(Reset call, void* argument);

 private:
  using Clock = std::chrono::steady_clock;
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  struct Subscription {
    std::string topic;
    Deliver call;
    void* argument;
  };
  struct Operation {
    Done done;
    void* argument;
    Clock::time_point deadline;
    bool sent;
  };
  struct Waiting {
    std::string packet;
    std::uint64_t operation;  // 0: of none
    Clock::time_point deadline;
  };

  bool usable(std::string_view name, std::string_view value, std::int32_t& refusal) const;
  void ask();
  bool give(std::string packet, std::uint64_t operation, Clock::time_point deadline);
  bool send(const Waiting& waiting);
  void send_waiting();
  void drop_late();
  void note_loss(const Waiting& waiting, bus::Loss loss);
  void tell_losses();
  void wait_to_write();
  void wait_to_read();
  void read();
  void take(const bus::Message& message);
  void deliver(const bus::Message& message);
  void finish(std::uint64_t id, const appserver_bus_result& result);
  void fail(std::uint64_t id);
  void lost();
  void arm();
  void check_deadlines();

  boost::asio::io_context& context_;
  PluginHost& host_;
  std::function<void(std::uint64_t)> ask_;
  std::shared_ptr<Descriptor> socket_;  // null while there is no connection
  boost::asio::steady_timer ask_timer_;
  boost::asio::steady_timer deadline_timer_;
  boost::asio::steady_timer tell_timer_;
  bool asking_ = false;
  std::uint64_t given_ = 0;  // connections
  bool writing_ = false;
  bool armed_ = false;
  bool told_ = false;  // less than an interval ago
  bool stopped_ = false;
  std::map<appserver_subscription, Subscription> subscriptions_;
  std::map<std::string, std::vector<appserver_subscription>, std::less<>> topics_;
  // All have the same deadline, so that they are due in the order of their ids.
  std::map<std::uint64_t, Operation> operations_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  bus::Losses losses_;
  std::uint64_t last_id_ = 0;
  Reset reset_ = nullptr;
  void* reset_argument_ = nullptr;
};

const appserver_bus_host& bus_host_table();

}  // namespace appserver::worker
