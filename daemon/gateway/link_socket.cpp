#include "gateway/link_socket.hpp"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace appserver::gateway {
namespace {

using boost::system::error_code;
using net::tls::Outcome;

int family_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0
             ? address.ss_family
             : AF_UNSPEC;
}

std::string words(const error_code& error) {
  if (!error) return {};
  return error == boost::asio::error::eof ? LinkSocket::kEnded : error.message();
}

}  // namespace

LinkSocket::LinkSocket(boost::asio::io_context& context, os::Fd socket)
    : socket_(context.get_executor(),
              boost::asio::generic::stream_protocol(family_of(socket.get()), 0), socket.get()) {
  socket.release();
}

void LinkSocket::secure(std::unique_ptr<net::tls::Session> tls, Owner owner, OnDone done) {
  tls_ = std::move(tls);
  boost::asio::post(executor(), [this, owner = std::move(owner), done = std::move(done)] {
    go_on_securing(owner, done);
  });
}

void LinkSocket::wait(Outcome outcome, Owner owner, OnDone ready) {
  if (outcome == Outcome::wants_input && tls_ && tls_->has_input()) {
    return boost::asio::post(executor(),
                             [owner = std::move(owner), ready = std::move(ready)] { ready({}); });
  }
  socket_.async_wait(outcome == Outcome::wants_output ? Socket::wait_write : Socket::wait_read,
                     [owner = std::move(owner), ready = std::move(ready)](const error_code& error) {
                       ready(words(error));
                     });
}

void LinkSocket::go_on_securing(const Owner& owner, const OnDone& done) {
  if (!socket_.is_open()) return done("it was closed");
  const Outcome outcome = tls_->handshake();
  if (outcome == Outcome::done) return done({});
  if (outcome == Outcome::failed) return done(tls_->why());
  if (outcome == Outcome::ended) return done("it ended the TLS handshake");
  wait(outcome, owner, [this, owner, done](const std::string& why) {
    if (!why.empty()) return done(why);
    go_on_securing(owner, done);
  });
}

void LinkSocket::read_some(std::span<char> into, Owner owner, OnRead read) {
  if (tls_) {
    // In a later turn: a peer that is never silent must not keep the others waiting.
    return boost::asio::post(executor(),
                             [this, into, owner = std::move(owner), read = std::move(read)] {
                               go_on_reading(into, owner, read);
                             });
  }
  socket_.async_read_some(
      boost::asio::buffer(into.data(), into.size()),
      [owner = std::move(owner), read = std::move(read)](
          const error_code& error, std::size_t size) { read(words(error), size); });
}

void LinkSocket::go_on_reading(std::span<char> into, const Owner& owner, const OnRead& read) {
  if (!socket_.is_open()) return read("it was closed", 0);
  std::size_t got = 0;
  const Outcome outcome = tls_->read(into, got);
  if (outcome == Outcome::done) return read({}, got);
  if (outcome == Outcome::ended) return read(kEnded, 0);
  if (outcome == Outcome::failed) return read(tls_->why(), 0);
  wait(outcome, owner, [this, into, owner, read](const std::string& why) {
    if (!why.empty()) return read(why, 0);
    go_on_reading(into, owner, read);
  });
}

void LinkSocket::write(std::string_view data, Owner owner, OnDone written) {
  if (tls_) {
    return boost::asio::post(executor(),
                             [this, data, owner = std::move(owner), written = std::move(written)] {
                               go_on_writing(data, owner, written);
                             });
  }
  boost::asio::async_write(socket_, boost::asio::buffer(data.data(), data.size()),
                           [owner = std::move(owner), written = std::move(written)](
                               const error_code& error, std::size_t) { written(words(error)); });
}

// One write a turn: what is large must not keep the others waiting.
void LinkSocket::go_on_writing(std::string_view data, const Owner& owner, const OnDone& written) {
  constexpr std::size_t kMostAtOnce = std::size_t{256} << 10;
  if (!socket_.is_open()) return written("it was closed");
  std::size_t put = 0;
  const Outcome outcome = tls_->write(data.substr(0, kMostAtOnce), put);
  if (outcome == Outcome::failed || outcome == Outcome::ended)
    return written(outcome == Outcome::failed ? tls_->why() : kEnded);
  data.remove_prefix(put);
  if (data.empty()) return written({});
  if (outcome == Outcome::done) {
    return boost::asio::post(executor(),
                             [this, data, owner, written] { go_on_writing(data, owner, written); });
  }
  wait(outcome, owner, [this, data, owner, written](const std::string& why) {
    if (!why.empty()) return written(why);
    go_on_writing(data, owner, written);
  });
}

bool LinkSocket::end_output() {
  if (tls_) tls_->end_output();
  error_code error;
  socket_.shutdown(Socket::shutdown_send, error);
  return !error;
}

void LinkSocket::close() {
  if (!socket_.is_open()) return;
  if (tls_) tls_->say_goodbye();
  error_code ignored;  // nothing was left to lose
  socket_.close(ignored);
}

}  // namespace appserver::gateway
