#include "worker/handover.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>

#include "os/message_socket.hpp"
#include "worker/handover_message.hpp"

namespace appserver::worker {
namespace {

using boost::system::error_code;

// The successor takes some hundred connections in this time, and a drain has a deadline of its own.
constexpr std::chrono::milliseconds kRetry{2};
// Until the process may have a descriptor to spare again.
constexpr std::chrono::milliseconds kStarved{50};
// Connections taken over in one turn of the loop, so that those already here are served between.
constexpr int kBatch = 64;

}  // namespace

HandoverSender::HandoverSender(boost::asio::io_context& context, os::Fd socket,
                               std::function<void(std::deque<Handed>)> lost)
    : socket_(context.get_executor(), socket.get()), retry_(context), lost_(std::move(lost)) {
  socket.release();
  wait_for_word();
}

void HandoverSender::send(Handed connection) {
  queue_.push_back(std::move(connection));
  count_unsent();
  if (is_lost_) {
    give_back();
  } else if (!waiting_) {
    pump();
  }
}

void HandoverSender::pump() {
  while (!queue_.empty()) {
    os::SendResult result = os::SendResult::closed;
    try {
      result = send_handed(socket_.native_handle(), queue_.front());
    } catch (const std::exception&) {
      // As good as a successor that is gone: the connections stay here.
    }
    if (result == os::SendResult::closed) {
      give_back();
      return;
    }
    if (result == os::SendResult::would_block) {
      retry_soon();
      return;
    }
    untaken_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    count_unsent();
  }
}

void HandoverSender::retry_soon() {
  waiting_ = true;
  retry_.expires_after(kRetry);
  retry_.async_wait([this, alive = std::weak_ptr(alive_)](const error_code& error) {
    if (error || alive.expired()) return;
    waiting_ = false;
    if (!is_lost_) pump();
  });
}

void HandoverSender::wait_for_word() {
  socket_.async_wait(socket_.wait_read,
                     [this, alive = std::weak_ptr(alive_)](const error_code& error) {
                       if (error || alive.expired()) return;
                       if (!read_words()) {
                         give_back();
                         return;
                       }
                       wait_for_word();
                       if (empty() && on_empty_) on_empty_();
                     });
}

// False: the successor is gone.
bool HandoverSender::read_words() {
  os::Packet packet;
  for (;;) {
    os::ReceiveResult result = os::ReceiveResult::closed;
    try {
      result = os::receive_packet(socket_.native_handle(), kMaxHandoverMessage, packet);
    } catch (const std::exception&) {
      return false;
    }
    if (result == os::ReceiveResult::would_block) return true;
    const auto taken =
        result == os::ReceiveResult::received ? read_taken(packet.data) : std::nullopt;
    if (!taken || *taken > untaken_.size()) return false;
    untaken_.erase(untaken_.begin(), untaken_.begin() + *taken);
  }
}

void HandoverSender::give_back() {
  is_lost_ = true;
  std::deque<Handed> left = std::exchange(untaken_, {});
  std::ranges::move(std::exchange(queue_, {}), std::back_inserter(left));
  count_unsent();
  lost_(std::move(left));
}

std::size_t HandoverSender::cut() {
  // What was sent is the successor's to take, whether we live or not.
  untaken_.clear();
  const std::size_t unsent = std::exchange(queue_, {}).size();
  count_unsent();
  return unsent;
}

void HandoverSender::count_unsent() {
  if (unsent_ != nullptr) unsent_->set(queue_.size());
}

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
  const auto proceed = [this, alive = std::weak_ptr(alive_)](const error_code& error) {
    if (error || alive.expired()) return;
    if (receive_some()) {
      wait();
    } else {
      std::exchange(ended_, nullptr)();
    }
  };
  if (starved_ || unsaid_ > 0) {
    retry_.expires_after(starved_ ? kStarved : kRetry);
    retry_.async_wait(proceed);
  } else {
    socket_.async_wait(socket_.wait_read, proceed);
  }
}

bool HandoverReceiver::has_spare_descriptor() {
  // One for the connection, one for what it may bring in a memory file.
  const os::Fd one(::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 0));
  const os::Fd other(::fcntl(socket_.native_handle(), F_DUPFD_CLOEXEC, 0));
  return one && other;
}

bool HandoverReceiver::receive_some() {
  say_taken();
  os::Packet packet;
  for (int count = 0; count < kBatch; ++count) {
    // Without one the kernel would drop the connection that the message brings: better it waits in
    // the queue.
    starved_ = !has_spare_descriptor();
    if (starved_) return true;
    std::optional<Handed> handed;
    try {
      const auto result = os::receive_packet(socket_.native_handle(), kMaxHandoverMessage, packet);
      if (result == os::ReceiveResult::would_block) return true;
      if (result == os::ReceiveResult::closed) return false;
      handed = read_handed(std::move(packet));
    } catch (const std::exception&) {
      return false;
    }
    if (!handed) return false;
    // Before anything is read from it: from here on it is ours.
    ++unsaid_;
    say_taken();
    received_(std::move(*handed));
  }
  return true;
}

void HandoverReceiver::say_taken() {
  if (unsaid_ == 0) return;
  try {
    const auto said = os::send_packet(socket_.native_handle(), taken_message(unsaid_));
    if (said == os::SendResult::would_block) return;
  } catch (const std::exception&) {
    // A predecessor that is gone needs no word.
  }
  unsaid_ = 0;
}

}  // namespace appserver::worker
