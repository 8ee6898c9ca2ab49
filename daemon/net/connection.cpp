#include "net/connection.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "net/peer_name.hpp"
#include "os/error.hpp"

namespace appserver::net {
namespace {

// Of bytes that the kernel has taken already, before those that wait.
constexpr std::size_t kMostSentKept = std::size_t{1} << 20;

}  // namespace

Connection::Connection(boost::asio::io_context& context, os::Fd socket)
    : socket_(context.get_executor(), socket.get()) {
  socket.release();
}

void Connection::wait_for_input() {
  if (reading_) return;
  reading_ = true;
  ++outstanding_;
  socket_.async_wait(socket_.wait_read, [this](const boost::system::error_code& error) {
    reading_ = false;
    --outstanding_;
    if (!closed_ && !error) on_readable();
    settle();
  });
}

void Connection::wait_for_output() {
  if (writing_) return;
  writing_ = true;
  ++outstanding_;
  socket_.async_wait(socket_.wait_write, [this](const boost::system::error_code& error) {
    writing_ = false;
    --outstanding_;
    if (!closed_ && !error) on_writable();
    settle();
  });
}

ssize_t Connection::receive(std::span<char> into) {
  return os::retry_on_interrupt(
      [&] { return ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT); });
}

bool Connection::has_unread_input() {
  char next = 0;
  return ::recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void Connection::shut_down_sending() { ::shutdown(socket_.native_handle(), SHUT_WR); }

bool Connection::send_some(std::string_view data, std::size_t& sent) {
  sent = 0;
  const auto put = os::retry_on_interrupt([&] {
    return ::send(socket_.native_handle(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  });
  if (put >= 0) {
    sent = static_cast<std::size_t>(put);
    sent_ += sent;
    return true;
  }
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

bool Connection::flush(std::string_view more) {
  std::size_t sent = 0;
  if (pending_output() == 0) {
    timing_output_ = false;
    if (more.empty()) return true;
    if (!send_some(more, sent)) return false;
    output_.assign(more.substr(sent));
    output_sent_ = 0;
  } else {
    output_.append(more);
    if (!send_some(std::string_view(output_).substr(output_sent_), sent)) return false;
    output_sent_ += sent;
  }
  if (sent > 0) timing_output_ = false;
  if (pending_output() == 0) {
    // A connection at rest holds no buffer.
    std::string().swap(output_);
    output_sent_ = 0;
  } else if (output_sent_ > kMostSentKept) {
    output_.erase(0, output_sent_);
    output_sent_ = 0;
  }
  return true;
}

std::string Connection::take_output() {
  output_.erase(0, std::exchange(output_sent_, 0));
  return std::exchange(output_, {});
}

std::string_view Connection::remote() {
  if (remote_.empty()) remote_ = peer_name(socket_.native_handle());
  return remote_;
}

void Connection::close_socket() {
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

os::Fd Connection::release_socket() {
  closed_ = true;
  return os::Fd(socket_.release());
}

}  // namespace appserver::net
