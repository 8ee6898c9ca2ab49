// How long a StreamConnection waits for what.
#include <algorithm>
#include <utility>

#include "net/stream_connection.hpp"

namespace appserver::net {
namespace {

// A message that comes more slowly than this is a peer that holds a connection on purpose.
constexpr std::uint64_t kMinMessageRate = 500;  // bytes a second

}  // namespace

void StreamConnection::set_timeout() {
  const StreamLimits& limits = server_.limits_;
  if (!is_secured()) {
    if (!std::exchange(timing_message_, true)) server_.wheel_.set(*this, limits.message_timeout);
  } else if (pending_output() > 0) {
    // Only what the peer takes counts, not what is added for it.
    if (std::exchange(timing_output_, true)) return;
    timing_message_ = timing_close_ = false;
    server_.wheel_.set(*this, limits.send_timeout);
  } else if (websocket_ && !websocket_->outbox.empty()) {
    timing_message_ = timing_close_ = false;
    server_.wheel_.clear(*this);
  } else if (awaits_close()) {
    if (std::exchange(timing_close_, true)) return;
    server_.wheel_.set(*this, StreamServer::kCloseTimeout);
  } else if (has_own_work()) {
    timing_message_ = false;
    server_.wheel_.clear(*this);
  } else if (has_message_under_way()) {
    if (std::exchange(timing_message_, true)) return;
    received_before_ = received_;
    server_.wheel_.set(*this, limits.message_timeout);
  } else if (websocket_) {
    const milliseconds quiet = quiet_time();
    if (quiet == milliseconds::max()) {
      server_.wheel_.clear(*this);
    } else {
      server_.wheel_.set(*this, quiet);
    }
  } else if (is_drained_when_silent()) {
    server_.wheel_.set(*this, StreamServer::kLinger);
  } else if (const milliseconds silence = longest_silence(); silence.count() > 0 && !paused_) {
    server_.wheel_.set(*this, silence);
  } else {
    server_.wheel_.clear(*this);
  }
}

void StreamConnection::on_timeout() {
  if (!is_secured()) {
    finish(APPSERVER_CLOSED_TIMEOUT, "the handshake of TLS came too slowly");
  } else if (lingering_ || (pending_output() == 0 && awaits_close())) {
    finish(reason_, why_);
  } else if (pending_output() > 0) {
    finish(APPSERVER_CLOSED_TIMEOUT, "the peer takes no bytes of what is sent");
  } else if (has_message_under_way()) {
    on_slow_message();
  } else if (((!websocket_ || !paused_) && has_unread_input()) ||
             (politely_ && tunnel_has_unsent())) {
    // What came in this very moment is served, and what has come is passed on.
    set_timeout();
  } else if (websocket_) {
    on_quiet();
  } else if (is_drained_when_silent()) {
    reason_ = APPSERVER_CLOSED_DRAINED;
    linger();
  } else if (output_ended_) {
    finish(APPSERVER_CLOSED_TIMEOUT, "nothing came behind the end of what was sent");
  } else {
    finish(APPSERVER_CLOSED_TIMEOUT, "nothing was sent or received for limits.stream_idle_timeout");
  }
  settle();
}

// Not what only the plugin keeps silent. Of a tunnel nobody here knows whether its ends are
// through: a drain of it lasts until they say so, or to its deadline.
bool StreamConnection::is_drained_when_silent() const {
  return politely_ && !paused_ && !is_tunnel();
}

// Whoever closes his end of a tunnel is seen to go by his kernel alone (wait_for_loss): the other
// one's answer is not waited for without an end. 0: for ever.
milliseconds StreamConnection::longest_silence() const {
  const milliseconds idle = server_.limits_.idle_timeout;
  if (!output_ended_ || input_ended_) return idle;
  return idle.count() > 0 ? std::min(idle, StreamServer::kHalfClosed) : StreamServer::kHalfClosed;
}

bool StreamConnection::has_message_under_way() const {
  return !paused_ && (seen_ > 0 || !at_boundary());
}

void StreamConnection::on_slow_message() {
  timing_message_ = false;
  const auto seconds =
      static_cast<std::uint64_t>(server_.limits_.message_timeout.count()) / 1000 + 1;
  if (received_ - received_before_ >= kMinMessageRate * seconds) {
    set_timeout();
  } else {
    finish(APPSERVER_CLOSED_TIMEOUT, "a message came too slowly");
  }
}

}  // namespace appserver::net
