#include "net/client/transport.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>
#include <cerrno>
#include <utility>

#include "os/error.hpp"

namespace appserver::net::client {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr asio::use_awaitable_t<Executor> kAwait{};
// However little time is left, an address is worth a try.
constexpr std::chrono::milliseconds kLeastShare{100};
constexpr std::size_t kMaxAddresses = 16;
// What is written at once where the other side takes it as fast.
constexpr std::size_t kMostWritten = std::size_t{256} << 10;

// "Connection refused" as it stands in the middle of a line.
std::string words(const error_code& error) {
  std::string text = error.message();
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string address_words(const Endpoint& address) {
  if (address.protocol().family() == AF_UNIX) {
    asio::local::stream_protocol::endpoint local;
    std::copy_n(static_cast<const char*>(static_cast<const void*>(address.data())), address.size(),
                static_cast<char*>(static_cast<void*>(local.data())));
    local.resize(address.size());
    return local.path();
  }
  tcp::endpoint internet;
  std::copy_n(static_cast<const char*>(static_cast<const void*>(address.data())),
              std::min<std::size_t>(address.size(), internet.capacity()),
              static_cast<char*>(static_cast<void*>(internet.data())));
  const std::string host = internet.address().to_string();
  return internet.address().is_v6() ? fmt::format("[{}]:{}", host, internet.port())
                                    : fmt::format("{}:{}", host, internet.port());
}

[[noreturn]] void lost(const error_code& error) { throw CallError(Failure::lost, words(error)); }

}  // namespace

Transport::Transport(asio::io_context& context)
    : context_(context), socket_(context.get_executor()), resolver_(context.get_executor()) {}

Work<std::vector<Endpoint>> Transport::resolve(const Target& target) {
  std::vector<Endpoint> found;
  if (!target.unix_socket.empty()) {
    found.emplace_back(asio::local::stream_protocol::endpoint(target.unix_socket));
    co_return found;
  }
  error_code bad;
  const auto literal = asio::ip::make_address(target.host, bad);
  if (!bad) {
    found.emplace_back(tcp::endpoint(literal, target.port));
    co_return found;
  }
  if (closed_) throw CallError(Failure::connect, "cancelled");
  const auto [error, results] =
      co_await resolver_.async_resolve(target.host, std::to_string(target.port),
                                       tcp::resolver::numeric_service, asio::as_tuple(kAwait));
  if (error)
    throw CallError(Failure::connect,
                    fmt::format("no address of {}: {}", target.host, words(error)));
  for (const auto& result : results) {
    if (found.size() < kMaxAddresses) found.emplace_back(result.endpoint());
  }
  if (found.empty())
    throw CallError(Failure::connect, fmt::format("{} has no address", target.host));
  co_return found;
}

Work<> Transport::connect(std::vector<Endpoint> addresses, Clock::time_point deadline) {
  std::string said;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const auto left = std::max<Clock::duration>(deadline - Clock::now(), kLeastShare);
    const auto share = std::max<Clock::duration>(
        left / static_cast<Clock::rep>(addresses.size() - i), kLeastShare);
    const std::string why = co_await try_address(addresses[i], share);
    if (why.empty()) co_return;
    if (closed_) break;
    said += fmt::format("{}{} ({})", said.empty() ? "" : ", ", why, address_words(addresses[i]));
  }
  throw CallError(Failure::connect, said.empty() ? "cancelled" : said);
}

// Empty: connected.
Work<std::string> Transport::try_address(const Endpoint& address, Clock::duration share) {
  error_code error;
  socket_.close(error);
  socket_.open(address.protocol(), error);
  if (error) co_return words(error);
  socket_.non_blocking(true, error);
  if (error) co_return words(error);
  // A timer's handler may be queued already when it is cancelled.
  struct Attempt {
    bool over = false;
    bool late = false;
  };
  const auto attempt = std::make_shared<Attempt>();
  asio::steady_timer timer(context_);
  timer.expires_after(share);
  timer.async_wait([this, attempt](const error_code& stopped) {
    if (stopped || attempt->over) return;
    attempt->late = true;
    error_code ignored;
    socket_.close(ignored);
  });
  const auto [failed] = co_await socket_.async_connect(address, asio::as_tuple(kAwait));
  attempt->over = true;
  if (attempt->late) co_return "no answer in its share of the time";
  if (failed) co_return words(failed);
  if (closed_) co_return "cancelled";
  if (address.protocol().family() != AF_UNIX) socket_.set_option(tcp::no_delay(true), error);
  co_return std::string();
}

Work<> Transport::secure(std::shared_ptr<const tls::ClientContext> context, std::string host) {
  tls_ = tls::Session::connect(std::move(context), socket_.native_handle(), host);
  for (;;) {
    const tls::Outcome outcome = tls_->handshake();
    if (outcome == tls::Outcome::done) co_return;
    if (outcome == tls::Outcome::failed || outcome == tls::Outcome::ended) {
      throw CallError(Failure::tls, outcome == tls::Outcome::failed
                                        ? tls_->why()
                                        : "the server ended the TLS handshake");
    }
    co_await wait(outcome == tls::Outcome::wants_input);
  }
}

Work<> Transport::yield() const {
  co_await asio::post(kAwait);
  if (closed_) throw CallError(Failure::lost, "cancelled");
}

Work<> Transport::wait(bool for_input) {
  if (for_input && tls_ && tls_->has_input()) {
    // No event of the socket would tell.
    co_await yield();
    co_return;
  }
  const auto [error] = co_await socket_.async_wait(
      for_input ? socket_.wait_read : socket_.wait_write, asio::as_tuple(kAwait));
  if (error) lost(error);
  if (closed_) throw CallError(Failure::lost, "cancelled");
}

Work<std::size_t> Transport::read_some(std::span<char> into) {
  // One read a turn of the loop: a peer that is never silent must not keep the others waiting, nor
  // the timer that is to end it.
  if (std::exchange(has_read_, true)) co_await yield();
  for (;;) {
    if (closed_) throw CallError(Failure::lost, "cancelled");
    bool for_input = true;
    if (tls_) {
      std::size_t got = 0;
      const tls::Outcome outcome = tls_->read(into, got);
      if (outcome == tls::Outcome::done) co_return got;
      if (outcome == tls::Outcome::ended) co_return 0;
      if (outcome == tls::Outcome::failed) throw CallError(Failure::lost, tls_->why());
      for_input = outcome == tls::Outcome::wants_input;
    } else {
      const ssize_t got = os::retry_on_interrupt(
          [&] { return ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT); });
      if (got >= 0) co_return static_cast<std::size_t>(got);
      if (errno != EAGAIN && errno != EWOULDBLOCK) lost({errno, boost::system::system_category()});
    }
    co_await wait(for_input);
  }
}

bool Transport::has_come() {
  char next = 0;
  return ::recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

Work<> Transport::write(std::string_view data, Turns turns) {
  std::size_t left_of_turn = kMostWritten;
  while (!data.empty()) {
    if (left_of_turn == 0 || (turns == Turns::reader_first && !closed_ && has_come())) {
      co_await asio::post(kAwait);
      left_of_turn = kMostWritten;
    }
    if (closed_) throw CallError(Failure::lost, "cancelled");
    const std::string_view piece = data.substr(0, left_of_turn);
    bool for_input = false;
    bool taken = true;
    std::size_t put = 0;
    if (tls_) {
      const tls::Outcome outcome = tls_->write(piece, put);
      if (outcome == tls::Outcome::failed || outcome == tls::Outcome::ended)
        throw CallError(Failure::lost, tls_->why());
      taken = outcome == tls::Outcome::done;
      for_input = outcome == tls::Outcome::wants_input;
    } else {
      const ssize_t sent = os::retry_on_interrupt([&] {
        return ::send(socket_.native_handle(), piece.data(), piece.size(),
                      MSG_NOSIGNAL | MSG_DONTWAIT);
      });
      if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
        lost({errno, boost::system::system_category()});
      taken = sent >= 0;
      if (taken) put = static_cast<std::size_t>(sent);
    }
    data.remove_prefix(put);
    left_of_turn -= put;
    if (taken) continue;
    co_await wait(for_input);
    left_of_turn = kMostWritten;
  }
}

bool Transport::is_quiet() {
  if (closed_ || (tls_ && tls_->has_input())) return false;
  char next = 0;
  return ::recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Transport::watch(std::function<void()> changed) {
  watching_ = std::make_shared<bool>(true);
  wait_for_change(watching_, std::move(changed));
}

void Transport::wait_for_change(std::shared_ptr<bool> watching, std::function<void()> changed) {
  socket_.async_wait(socket_.wait_read,
                     [this, watching = std::move(watching),
                      changed = std::move(changed)](const error_code& error) mutable {
                       if (error == asio::error::operation_aborted || !*watching) return;
                       if (is_quiet()) {
                         // An event of before, whose bytes are read already.
                         wait_for_change(std::move(watching), std::move(changed));
                       } else {
                         changed();
                       }
                     });
}

void Transport::stop_watching() {
  if (!watching_) return;
  *std::exchange(watching_, nullptr) = false;
  error_code ignored;
  socket_.cancel(ignored);
}

void Transport::close() {
  if (std::exchange(closed_, true)) return;
  stop_watching();
  if (tls_) tls_->say_goodbye();
  // A look-up that has not begun does not hold up those behind it.
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

void Transport::abandon() {
  if (closed_) return;
  error_code not_tcp;
  socket_.set_option(boost::asio::socket_base::linger(true, 0), not_tcp);
  close();
}

Transport::Released Transport::release() {
  stop_watching();
  closed_ = true;
  return {os::Fd(socket_.release()), std::move(tls_)};
}

}  // namespace appserver::net::client
