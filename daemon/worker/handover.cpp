#include "worker/handover.hpp"

#include <fcntl.h>

#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include "os/message_socket.hpp"

namespace appserver::worker {
namespace {

// Raised when the meaning of the message changes.
constexpr char kVersion = 1;
// A read of the server and a head before it, with room.
constexpr std::size_t kMaxMessage = std::size_t{160} << 10;
// The successor takes some hundred connections in this time, and a drain has a deadline of its own.
constexpr std::chrono::milliseconds kRetry{2};
// Until the process may have a descriptor to spare again.
constexpr std::chrono::milliseconds kStarved{50};
// Connections taken over in one turn of the loop, so that those already here are served between.
constexpr int kBatch = 64;

}  // namespace

HandoverSender::HandoverSender(boost::asio::io_context& context, os::Fd socket,
                               std::function<void(std::deque<Handed>)> lost)
    : socket_(std::move(socket)), retry_(context), lost_(std::move(lost)) {}

void HandoverSender::send(Handed connection) {
  queue_.push_back(std::move(connection));
  if (is_lost_) {
    lost_(std::exchange(queue_, {}));
  } else if (!waiting_) {
    pump();
  }
}

void HandoverSender::pump() {
  while (!queue_.empty()) {
    const Handed& next = queue_.front();
    const std::array<std::string_view, 2> parts{std::string_view(&kVersion, 1), next.received};
    const int fd = next.connection.get();
    os::SendResult result = os::SendResult::closed;
    try {
      result = os::send_packet(socket_.get(), parts, std::span(&fd, 1));
    } catch (const std::exception&) {
      // As good as a successor that is gone: the connections stay here.
    }
    if (result == os::SendResult::closed) {
      is_lost_ = true;
      lost_(std::exchange(queue_, {}));
      return;
    }
    if (result == os::SendResult::would_block) {
      waiting_ = true;
      retry_.expires_after(kRetry);
      retry_.async_wait(
          [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
            if (error || alive.expired()) return;
            waiting_ = false;
            pump();
          });
      return;
    }
    queue_.pop_front();
  }
  if (on_empty_) on_empty_();
}

std::size_t HandoverSender::cut() { return std::exchange(queue_, {}).size(); }

HandoverReceiver::HandoverReceiver(boost::asio::io_context& context, os::Fd socket,
                                   std::function<void(Handed)> received,
                                   std::function<void()> ended)
    : socket_(context.get_executor(), socket.get()),
      retry_(context),
      received_(std::move(received)),
      ended_(std::move(ended)) {
  socket.release();
  wait();
}

void HandoverReceiver::wait() {
  const auto proceed = [this,
                        alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    if (receive_some()) {
      wait();
    } else {
      std::exchange(ended_, nullptr)();
    }
  };
  if (starved_) {
    retry_.expires_after(kStarved);
    retry_.async_wait(proceed);
  } else {
    socket_.async_wait(socket_.wait_read, proceed);
  }
}

bool HandoverReceiver::has_spare_descriptor() {
  const os::Fd spare(::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 0));
  return static_cast<bool>(spare);
}

bool HandoverReceiver::receive_some() {
  os::Packet packet;
  for (int count = 0; count < kBatch; ++count) {
    // Without one the kernel would drop the connection that the message brings: better it waits in
    // the queue.
    starved_ = !has_spare_descriptor();
    if (starved_) return true;
    os::ReceiveResult result = os::ReceiveResult::closed;
    try {
      result = os::receive_packet(socket_.native_handle(), kMaxMessage, packet);
    } catch (const std::exception&) {
      return false;
    }
    if (result == os::ReceiveResult::would_block) return true;
    if (result == os::ReceiveResult::closed) return false;
    if (packet.data.empty() || packet.data.front() != kVersion || packet.fds.size() != 1)
      return false;
    received_({std::move(packet.fds.front()), packet.data.substr(1)});
  }
  return true;
}

}  // namespace appserver::worker
