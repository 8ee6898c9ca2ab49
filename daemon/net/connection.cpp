#include "net/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "net/peer_name.hpp"
#include "net/proxy_protocol.hpp"
#include "os/error.hpp"

namespace appserver::net {
namespace {

// A minute altogether: a kernel whose program still holds the socket answers, another one resets it
// or is silent.
constexpr int kSilenceBeforeProbes = 30;  // seconds
constexpr int kProbeEvery = 10;           // seconds
constexpr int kProbes = 3;

// Where there is no TCP nothing needs to be asked: such a peer is seen to go.
void ask_whether_alive(int socket) {
  const int on = 1;
  if (::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0) return;
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kSilenceBeforeProbes,
               sizeof(kSilenceBeforeProbes));
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kProbeEvery, sizeof(kProbeEvery));
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof(kProbes));
}

bool is_lost(int socket) {
  pollfd look{socket, 0, 0};
  return os::retry_on_interrupt([&] { return ::poll(&look, 1, 0); }) > 0 &&
         (look.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

Connection::Connection(boost::asio::io_context& context, os::Fd socket,
                       std::unique_ptr<tls::Session> tls, Ends ends)
    : socket_(context.get_executor(), socket.get()),
      tls_(std::move(tls)),
      ends_(std::move(ends)),
      told_(!ends_.remote.empty()) {
  socket.release();
}

void Connection::wait_for_input() {
  if (reading_) return;
  reading_ = true;
  ++outstanding_;
  const auto ready = [this](const boost::system::error_code& error) {
    reading_ = false;
    --outstanding_;
    if (!closed_ && !error) on_readable();
    settle();
  };
  if (tls_ && tls_->has_input()) {
    // No event of the socket would tell.
    boost::asio::post(socket_.get_executor(), [ready] { ready({}); });
  } else if (tls_ && tls_->input_wants_output()) {
    socket_.async_wait(socket_.wait_write, ready);
  } else {
    socket_.async_wait(socket_.wait_read, ready);
  }
}

void Connection::wait_for_output() {
  if (writing_) return;
  writing_ = true;
  ++outstanding_;
  const bool inverse = tls_ && tls_->output_wants_input();
  socket_.async_wait(inverse ? socket_.wait_read : socket_.wait_write,
                     [this](const boost::system::error_code& error) {
                       writing_ = false;
                       --outstanding_;
                       if (!closed_ && !error) on_writable();
                       settle();
                     });
}

void Connection::wait_for_loss() {
  if (std::exchange(awaiting_loss_, true)) return;
  ask_whether_alive(socket_.native_handle());
  ++outstanding_;
  socket_.async_wait(socket_.wait_error, [this](const boost::system::error_code& error) {
    --outstanding_;
    // Not urgent data, which nobody reads: that would be an event for ever.
    if (!closed_ && !error && is_lost(socket_.native_handle())) on_lost();
    settle();
  });
}

tls::Outcome Connection::shake_hands() {
  if (is_secured()) return tls::Outcome::done;
  const tls::Outcome outcome = tls_->handshake();
  if (outcome == tls::Outcome::wants_input || outcome == tls::Outcome::wants_output) {
    wait_for_input();
  }
  return outcome;
}

void Connection::look_at_beginning(std::string_view first) {
  if (std::exchange(begun_, true)) return;
  began_with_proxy_header_ = proxy_protocol::seems_to_begin(first);
}

void Connection::look_at_beginning_of_tls() {
  if (begun_) return;
  std::array<char, proxy_protocol::kSigns> first{};
  const ssize_t seen = look_ahead(first);
  if (seen > 0) look_at_beginning({first.data(), static_cast<std::size_t>(seen)});
}

ssize_t Connection::receive(std::span<char> into) {
  return tls_ ? receive_by_tls(into) : discard(into);
}

ssize_t Connection::receive_by_tls(std::span<char> into) {
  std::size_t got = 0;
  switch (tls_->read(into, got)) {
    case tls::Outcome::done:
      return static_cast<ssize_t>(got);
    case tls::Outcome::ended:
      return 0;
    case tls::Outcome::failed:
      errno = EPROTO;
      return -1;
    case tls::Outcome::wants_input:
    case tls::Outcome::wants_output:
      break;
  }
  errno = EAGAIN;
  return -1;
}

std::string Connection::input_error(int error) const {
  if (tls_ && !tls_->why().empty()) return tls_->why();
  return std::generic_category().message(error);
}

ssize_t Connection::discard(std::span<char> into) {
  return os::retry_on_interrupt(
      [&] { return ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT); });
}

ssize_t Connection::look_ahead(std::span<char> into) {
  return os::retry_on_interrupt([&] {
    return ::recv(socket_.native_handle(), into.data(), into.size(), MSG_PEEK | MSG_DONTWAIT);
  });
}

bool Connection::has_unread_input() { return (tls_ && tls_->has_input()) || peek(); }

bool Connection::peek() {
  char next = 0;
  return look_ahead(std::span(&next, 1)) > 0;
}

Connection::Peer Connection::look_at_peer() {
  pollfd look{socket_.native_handle(), POLLIN | POLLRDHUP, 0};
  os::retry_on_interrupt([&] { return ::poll(&look, 1, 0); });
  if ((look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return Peer::ended;
  // A wait for input would end at once, though the kernel has none.
  const bool decrypted = tls_ && (tls_->has_input() || tls_->input_wants_output());
  return decrypted || (look.revents & POLLIN) != 0 ? Peer::has_sent : Peer::silent;
}

void Connection::shut_down_sending() {
  if (tls_) tls_->say_goodbye();
  ::shutdown(socket_.native_handle(), SHUT_WR);
}

void Connection::end_output() {
  if (tls_) tls_->end_output();
  ::shutdown(socket_.native_handle(), SHUT_WR);
}

bool Connection::send_some(std::string_view data, std::size_t& sent) {
  sent = 0;
  if (tls_) return send_some_by_tls(data, sent);
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

bool Connection::send_some_by_tls(std::string_view data, std::size_t& sent) {
  const tls::Outcome outcome = tls_->write(data, sent);
  sent_ += sent;
  errno = EPROTO;
  return outcome != tls::Outcome::failed && outcome != tls::Outcome::ended;
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
  } else if (output_sent_ >= pending_output()) {
    // What the kernel has taken costs no more room than what waits.
    output_ = output_.substr(std::exchange(output_sent_, 0));
  }
  return true;
}

std::string Connection::take_output() {
  output_.erase(0, std::exchange(output_sent_, 0));
  return std::exchange(output_, {});
}

std::string_view Connection::remote() {
  if (ends_.remote.empty()) ends_.remote = peer_name(socket_.native_handle());
  return ends_.remote;
}

std::string_view Connection::local() {
  if (ends_.local.empty()) ends_.local = local_name(socket_.native_handle());
  return ends_.local;
}

void Connection::close_socket(Goodbye goodbye) {
  closed_ = true;
  if (tls_ && goodbye == Goodbye::said && pending_output() == 0) tls_->say_goodbye();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

os::Fd Connection::release_socket() {
  closed_ = true;
  return os::Fd(socket_.release());
}

}  // namespace appserver::net
