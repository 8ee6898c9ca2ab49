// How long an HttpConnection waits for what.
#include <chrono>
#include <cstdint>
#include <utility>

#include "net/http_connection.hpp"

namespace appserver::net {
namespace {

// A body that comes more slowly than this is a client that holds a connection on purpose
// (mod_reqtimeout's MinRate).
constexpr std::uint64_t kMinBodyRate = 500;  // bytes a second

// How often a client is looked at that has sent its next request already: its bytes stay unread, so
// that waiting for more would end at once, again and again.
constexpr milliseconds kLookAgain{1'000};

}  // namespace

void HttpConnection::watch_client() {
  if (!told_gone_ && server_.handler_.wants_client_gone()) wait_for_input();
}

// While an exchange is open.
void HttpConnection::look_at_client() {
  if (told_gone_ || pending_output() > 0 || !server_.handler_.wants_client_gone()) return;
  switch (look_at_peer()) {
    case Peer::silent:
      wait_for_input();
      break;
    case Peer::has_sent:
      server_.wheel_.set(*this, kLookAgain);
      break;
    case Peer::ended:
      told_gone_ = true;
      server_.handler_.on_client_gone(exchange_);
      break;
  }
}

void HttpConnection::set_timeout() {
  const HttpLimits& limits = server_.limits_;
  if (!is_secured()) {
    if (!std::exchange(timing_request_, true)) server_.wheel_.set(*this, limits.header_timeout);
  } else if (pending_output() > 0) {
    // Only what the client takes counts, not what is added for it.
    if (std::exchange(timing_output_, true)) return;
    timing_request_ = false;
    server_.wheel_.set(*this, limits.idle_timeout);
  } else if (reader_) {
    if (std::exchange(timing_request_, true)) return;
    body_seen_ = reader_->body_received();
    server_.wheel_.set(*this, limits.header_timeout);
  } else {
    server_.wheel_.set(*this, ends_politely() ? HttpServer::kLinger : limits.idle_timeout);
  }
}

void HttpConnection::on_timeout() {
  if (!is_secured() || lingering_ || pending_output() > 0) {
    close();
  } else if (exchange_ != 0) {
    // The plugin takes the time it needs; its answer sets the next timeout.
    look_at_client();
  } else if (in_body_) {
    const std::uint64_t received = reader_->body_received();
    const auto seconds =
        static_cast<std::uint64_t>(server_.limits_.header_timeout.count()) / 1000 + 1;
    if (received - body_seen_ >= kMinBodyRate * seconds) {
      body_seen_ = received;
      server_.wheel_.set(*this, server_.limits_.header_timeout);
    } else {
      refuse({408, "the body of the request came too slowly"});
      flush_turn();
      next_wait();
    }
  } else if (reader_) {
    refuse({408, "the head of the request came too slowly"});
    flush_turn();
    next_wait();
  } else {
    end_if_idle();
  }
  settle();
}

void HttpConnection::end_if_idle() {
  // A request that came in this very moment is served: only a silent connection is ended.
  if (!has_unread_input()) {
    close();
  } else if (tls() != nullptr) {
    // It may be no part of a request, and then nothing else would set a timeout.
    server_.wheel_.set(*this, HttpServer::kLinger);
  }
}

}  // namespace appserver::net
