#include "net/acceptor.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "os/error.hpp"

namespace appserver::net {
namespace {

// Connections taken in one turn of the loop, so that a flood of them does not starve those that are
// open.
constexpr int kBatch = 64;
// While the process is out of descriptors or memory; well above a spin, well below a client's
// patience.
constexpr std::chrono::milliseconds kBackOff{100};

// Most that is taken from a queue that ends: above any backlog in use, and an end to a flood.
constexpr int kLongestQueue = 65'535;

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

bool is_empty(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

int accept_from(int listener) {
  return ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

}  // namespace

Acceptor::Acceptor(boost::asio::io_context& context, os::Fd listener, Hooks hooks)
    : listener_(context.get_executor(), listener.get()), retry_(context), hooks_(std::move(hooks)) {
  listener.release();
}

void Acceptor::start() {
  started_ = true;
  wait();
}

void Acceptor::resume() {
  if (started_) wait();
}

void Acceptor::wait() {
  if (waiting_ || stopped_ || !hooks_.has_room()) return;
  waiting_ = true;
  listener_.async_wait(listener_.wait_read, [this, alive = std::weak_ptr(alive_)](
                                                const boost::system::error_code& error) {
    if (alive.expired()) return;
    waiting_ = false;
    if (!error && !stopped_) on_readable();
  });
}

void Acceptor::on_readable() {
  if (accept_batch() != Batch::blocked) wait();
}

Acceptor::Batch Acceptor::accept_batch() {
  for (int count = 0; count < kBatch; ++count) {
    if (!hooks_.has_room()) return Batch::more;
    os::Fd connection(accept_from(listener_.native_handle()));
    if (connection) {
      hooks_.accepted(std::move(connection));
      if (stopped_) return Batch::drained;
      continue;
    }
    if (is_empty(errno)) return Batch::drained;
    if (is_shortage(errno)) {
      back_off(errno);
      return Batch::blocked;
    }
    // accept(2): anything else is the fault of the one connection that was at the head of the
    // queue.
  }
  return Batch::more;
}

void Acceptor::back_off(int error) {
  hooks_.complain(fmt::format("{}; connections wait", os::SystemError(error, "accept()").what()));
  waiting_ = true;
  retry_.expires_after(kBackOff);
  retry_.async_wait(
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& aborted) {
        if (alive.expired()) return;
        waiting_ = false;
        if (!aborted) wait();
      });
}

void Acceptor::stop(bool empty_queue) {
  if (std::exchange(stopped_, true) || !listener_.is_open()) return;
  retry_.cancel();
  const os::Fd listener(listener_.release());
  if (!empty_queue) return;
  for (int count = 0; count < kLongestQueue; ++count) {
    os::Fd connection(accept_from(listener.get()));
    if (connection) {
      hooks_.accepted(std::move(connection));
    } else if (is_shortage(errno)) {
      hooks_.complain(
          fmt::format("{}; connections are lost", os::SystemError(errno, "accept()").what()));
      return;
    } else if (is_empty(errno)) {
      return;
    }
  }
}

}  // namespace appserver::net
