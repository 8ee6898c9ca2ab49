#include "bus/process.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "bus/server.hpp"
#include "channel/message.hpp"
#include "os/memfd.hpp"
#include "os/message_socket.hpp"
#include "telemetry/log.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::bus {
namespace {

using boost::system::error_code;
using Descriptor =
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

// Several times within the supervisor's patience.
constexpr std::chrono::milliseconds kBeat{500};

// No version of a bus that was before is one of this.
std::uint64_t first_version() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

class Process final {
 public:
  Process(os::Fd channel, const os::Fd& page, os::Fd log, os::Fd terminated, std::size_t max_bytes)
      : page_memory_(page.get(), sizeof(telemetry::WorkerPage)),
        page_(telemetry::WorkerPage::view(page_memory_.bytes())),
        log_(std::move(log)),
        beat_(context_),
        server_(context_, max_bytes, first_version()),
        channel_(context_.get_executor(), channel.release()),
        terminated_(context_.get_executor(), terminated.release()) {}

  void run() {
    beat();
    say(channel::Kind::ready);
    wait();
    terminated_.async_wait(Descriptor::wait_read, [this](const error_code& error) {
      if (!error) context_.stop();
    });
    context_.run();
  }

 private:
  void beat() {
    const Server::Statistics now = server_.statistics();
    page_.bus.memory.set(now.memory);
    page_.bus.keys.set(now.keys);
    page_.bus.topics.set(now.topics);
    page_.bus.subscriptions.set(now.subscriptions);
    page_.bus.sent.set(now.sent);
    page_.bus.dropped.set(now.dropped);
    page_.heartbeat_ns.set(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                       std::chrono::steady_clock::now().time_since_epoch())
                                       .count()));
    warn();
    beat_.expires_after(kBeat);
    beat_.async_wait([this](const error_code& error) {
      if (!error) beat();
    });
  }

  // A log that is full takes no more now; the counters tell all the same.
  void warn() {
    for (const std::string& line : server_.report(std::chrono::steady_clock::now())) {
      const std::string packet = std::to_string(static_cast<int>(telemetry::Level::warning)) + line;
      try {
        if (os::send_packet(log_.get(), packet) != os::SendResult::sent) page_.log_dropped.add(1);
      } catch (const std::exception&) {
        page_.log_dropped.add(1);
      }
    }
  }

  void say(channel::Kind kind) {
    channel::Message message;
    message.kind = kind;
    channel::send(channel_.native_handle(), message);
  }

  void wait() {
    channel_.async_wait(Descriptor::wait_read, [this](const error_code& error) {
      if (!error) read();
    });
  }

  void read() {
    for (;;) {
      channel::Message message;
      const auto result = channel::receive(channel_.native_handle(), message);
      if (result == os::ReceiveResult::would_block) return wait();
      if (result == os::ReceiveResult::closed) return context_.stop();
      if (message.kind == channel::Kind::bus && message.fds.size() == 1)
        server_.add(std::move(message.fds.front()), message.number, std::move(message.text));
      if (message.kind == channel::Kind::drain) {
        say(channel::Kind::stopped);
        return context_.stop();
      }
    }
  }

  os::SharedMapping page_memory_;
  telemetry::WorkerPage& page_;
  os::Fd log_;
  boost::asio::io_context context_{1};
  boost::asio::steady_timer beat_;
  Server server_;
  Descriptor channel_;
  Descriptor terminated_;
};

}  // namespace

int run_bus(os::Fd channel, const os::Fd& page, os::Fd log, os::Fd terminated,
            std::size_t max_bytes) {
  Process process(std::move(channel), page, std::move(log), std::move(terminated), max_bytes);
  process.run();
  return 0;
}

}  // namespace appserver::bus
