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
#include <vector>

#include "bus/losses.hpp"
#include "bus/packet.hpp"
#include "bus/protocol.hpp"
#include "os/closer.hpp"
#include "os/fd.hpp"

namespace appserver::bus {

// What comes from it is hostile: on the first message that is none it is closed. What waits for it
// is bounded: over the bound the oldest message of a topic is dropped and counted; one that does
// not even fetch its results is closed. Where all clients together take more than their budget, the
// server says whose is dropped.
class Client final : public std::enable_shared_from_this<Client> {
 public:
  static constexpr std::size_t kMaxWaiting = std::size_t{1} << 20;  // bytes

  // What a packet costs in the queue beside its bytes.
  static constexpr std::size_t kOverhead = 64;

  static constexpr std::string_view kFetchesNothing =
      "it does not fetch the results of its operations";

  // Of messages, not of results.
  struct Count {
    std::uint64_t sent = 0;
    std::uint64_t dropped = 0;
  };
  struct Shared {
    Budget& budget;
    Count& count;
    os::Closer& closer;
  };

  struct Hooks {
    std::function<void(Client&, const Message&)> message;
    std::function<void()> over_budget;  // may close this client, too
    std::function<void(Losses::Way, std::string_view topic, Loss)> dropped;  // a message
    std::function<void(Client&, std::string_view why)> refused;  // is closed, by its own fault
    std::function<void(Client&)> closed;                         // once, the last
  };

  Client(boost::asio::io_context& context, os::Fd socket, std::uint64_t worker, std::string name,
         Shared shared, Hooks hooks);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { forget_waiting(); }

  void start() { wait_to_read(); }
  std::uint64_t worker() const { return worker_; }
  // For people.
  const std::string& name() const { return *name_; }
  const std::shared_ptr<const std::string>& shared_name() const { return name_; }

  bool subscribe(std::string_view topic);  // false over kMaxTopics
  void unsubscribe(std::string_view topic);
  // By topic: messages that were dropped since the last that was sent.
  const std::map<std::string, std::uint64_t, std::less<>>& topics() const { return lost_; }

  void deliver(std::shared_ptr<const Packet> packet) { push(messages_, std::move(packet)); }
  void answer(Header header, std::string_view value);
  std::size_t waiting_bytes() const { return waiting_bytes_; }
  // False where no message waits.
  bool drop_oldest(Loss loss);
  void close();
  // For its own fault, which is told of.
  void refuse(std::string_view why);

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  struct Waiting {
    std::shared_ptr<const Packet> packet;
    std::uint64_t number;  // in the order of their coming
  };
  // Two, so that the oldest message is found at once however many results are older.
  using Queue = std::deque<Waiting>;

  void wait_to_read();
  void read();
  void close_elsewhere(std::vector<os::Fd>& fds);
  void push(Queue& queue, std::shared_ptr<const Packet> packet);
  Queue* next_queue();
  void pop(Queue& queue);
  void forget_waiting();
  bool send(std::string_view packet);
  void send_waiting();
  void wait_to_write();

  Descriptor socket_;
  std::uint64_t worker_;
  std::shared_ptr<const std::string> name_;
  Shared shared_;
  Hooks hooks_;
  std::map<std::string, std::uint64_t, std::less<>> lost_;
  Queue messages_;
  Queue results_;
  std::uint64_t last_number_ = 0;
  std::size_t waiting_bytes_ = 0;
  bool writing_ = false;
};

}  // namespace appserver::bus
