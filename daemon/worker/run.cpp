#include "worker/run.hpp"

#include <poll.h>

#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "bus/process.hpp"
#include "channel/boot.hpp"
#include "channel/message.hpp"
#include "channel/process.hpp"
#include "os/error.hpp"
#include "os/memfd.hpp"
#include "worker/identity.hpp"
#include "worker/termination.hpp"
#include "worker/worker.hpp"

namespace appserver::worker {
namespace {

using channel::Kind;
using channel::Message;

constexpr std::chrono::milliseconds kBootTimeout{10'000};
// Between the drain's own deadline and the alarm that ends a hung process.
constexpr std::chrono::seconds kAlarmGrace{10};

Message receive_boot(int channel_socket) {
  pollfd poll_for{channel_socket, POLLIN, 0};
  const int ready = os::retry_on_interrupt(
      [&] { return ::poll(&poll_for, 1, static_cast<int>(kBootTimeout.count())); });
  os::check(ready, "poll(channel)");
  if (ready == 0) throw std::runtime_error("the supervisor did not say what to be");
  Message message;
  if (channel::receive(channel_socket, message) != os::ReceiveResult::received) {
    throw std::runtime_error("the supervisor is gone");
  }
  if (message.kind != Kind::boot || message.fds.size() < channel::kFirstListener) {
    throw std::runtime_error("the first message on the channel is not a boot message");
  }
  return message;
}

std::size_t bus_memory(const std::string& settings) {
  const auto value = boost::json::parse(settings);
  return boost::json::value_to<std::size_t>(value.at("memory"));
}

void say_failed(int channel_socket, const std::string& why) {
  Message message;
  message.kind = Kind::failed;
  message.text = why;
  channel::send(channel_socket, message);
}

// Ends the process from within, so that the worker still stands while the plugin's static
// destructors and the threads that it did not join run: the ABI promises them the host for as long
// as the process lives.
[[noreturn]] void live(const channel::Boot& boot, int channel_copy, os::Fd channel_socket,
                       Message boot_message, os::Fd terminated) {
  Worker worker(boot, std::move(channel_socket), std::move(boot_message), std::move(terminated));
  int code = 0;
  try {
    worker.start();
    if (boot.purpose == channel::Purpose::serve) worker.run();
  } catch (const std::exception& error) {
    say_failed(channel_copy, error.what());
    code = 1;
  }
  std::exit(code);
}

}  // namespace

int run_worker(int channel_number, pid_t supervisor) {
  os::Fd channel_socket(channel_number);
  // The Worker owns the channel from then on; a plugin's failure is still to be said.
  const os::Fd channel_copy = channel_socket.duplicate();
  try {
    bind_to_supervisor(supervisor);
    std::signal(SIGPIPE, SIG_IGN);
    Message boot_message = receive_boot(channel_socket.get());
    const channel::Boot boot = channel::decode(os::read_sealed_memfd(
        boot_message.fds.at(channel::kBootRecord).get(), channel::kMaxBootRecord));
    os::Fd terminated = catch_termination(
        std::chrono::duration_cast<std::chrono::seconds>(boot.group.reload.drain_timeout) +
        kAlarmGrace);
    take_on(boot.group, boot.slot, supervisor);
    if (boot.purpose == channel::Purpose::bus) {
      const std::size_t memory = bus_memory(boot.group.settings);
      return bus::run_bus(std::move(channel_socket), boot_message.fds.at(channel::kBootPage),
                          std::move(boot_message.fds.at(channel::kBootLog)), std::move(terminated),
                          memory);
    }
    live(boot, channel_copy.get(), std::move(channel_socket), std::move(boot_message),
         std::move(terminated));
  } catch (const std::exception& error) {
    say_failed(channel_copy.get(), error.what());
    return 1;
  }
}

}  // namespace appserver::worker
