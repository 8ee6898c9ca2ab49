#include "bus/process.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <utility>

#include "bus/server.hpp"
#include "channel/message.hpp"

namespace appserver::bus {
namespace {

using boost::system::error_code;
using Descriptor =
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

// No version of a bus that was before is one of this.
std::uint64_t first_version() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

class Process final {
 public:
  Process(os::Fd channel, os::Fd terminated, std::size_t max_bytes)
      : server_(context_, max_bytes, first_version()),
        channel_(context_.get_executor(), channel.release()),
        terminated_(context_.get_executor(), terminated.release()) {}

  void run() {
    say(channel::Kind::ready);
    wait();
    terminated_.async_wait(Descriptor::wait_read, [this](const error_code& error) {
      if (!error) context_.stop();
    });
    context_.run();
  }

 private:
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
        server_.add(std::move(message.fds.front()), message.number);
      if (message.kind == channel::Kind::drain) {
        say(channel::Kind::stopped);
        return context_.stop();
      }
    }
  }

  boost::asio::io_context context_{1};
  Server server_;
  Descriptor channel_;
  Descriptor terminated_;
};

}  // namespace

int run_bus(os::Fd channel, os::Fd terminated, std::size_t max_bytes) {
  Process process(std::move(channel), std::move(terminated), max_bytes);
  process.run();
  return 0;
}

}  // namespace appserver::bus
