// How a StreamConnection leaves: to the successor, politely, or cut.
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "net/stream_connection.hpp"

namespace appserver::net {

// Bytes that nobody reads would turn our end into a reset, and what was sent could be lost with it.
void StreamConnection::linger() {
  const bool agreed = websocket_ && websocket_->close_received;
  const bool peer_has_ended = reason_ == APPSERVER_CLOSED_BY_PEER && !agreed;
  const bool expects_more = politely_ && !agreed;
  if (peer_has_ended || (!expects_more && input_.empty() && !has_unread_input())) {
    finish(reason_, why_);
    return;
  }
  shut_down_sending();
  lingering_ = true;
  forget();
  wait_for_input();
  server_.wheel_.set(*this, StreamServer::kLinger);
}

void StreamConnection::discard_input() {
  const ssize_t got = discard(server_.scratch_);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) {
    wait_for_input();
    return;
  }
  finish(reason_, why_);
}

void StreamConnection::move_or_stay() {
  const bool has_turn_to_come = in_turn_ || is_scheduled();
  if (!has_turn_to_come && !lingering_ && !is_ending()) move_to_successor();
}

bool StreamConnection::move_to_successor() {
  if (stays_ || is_ending() || !at_boundary()) return false;
  if (websocket_ && !websocket_->outbox.empty()) return false;
  const bool bound_here = tls() != nullptr || pipe_to_ != 0 || piped_from_ != 0;
  auto state = bound_here ? std::nullopt : handler().on_handover(id_);
  if (!state || is_ending()) {
    stays_ = true;
    end_politely();
    return false;
  }
  known_ = false;
  Handed moved;
  moved.listener = listener_->text;
  moved.ends = told_ends();
  moved.kind = websocket_ ? Handed::Kind::websocket : Handed::Kind::stream;
  if (websocket_) {
    append_owed_pong(output());
    moved.subprotocol = std::move(websocket_->subprotocol);
    moved.deflate = websocket_->deflate != nullptr;
  }
  moved.received = std::exchange(input_, {});
  moved.unsent = take_output();
  moved.state = std::move(*state);
  moved.paused = paused_;
  server_.wheel_.clear(*this);
  moved.connection = release_socket();
  id_ = 0;
  server_.page_.handed_over.add();
  // A copy: the call may end the handover and the sink with it.
  const StreamServer::Sink sink = server_.sink_;
  sink(std::move(moved));
  server_.connection_ended(false);
  return true;
}

void StreamConnection::be_polite() {
  politely_ = true;
  close_at_ = server_.now() + server_.next_closing();
  // What is no WebSocket has a while to be silent by itself.
  if (!websocket_) close_at_ += StreamServer::kLinger;
}

void StreamConnection::end_politely() {
  if (politely_) return;
  be_polite();
  if (in_turn_ || lingering_) return;
  set_timeout();
}

// Bytes without a framing have no boundary here: what looks like an answer may be a part of one
// where the plugin also sends in its own time, and what comes without an answer a part of a whole.
bool StreamConnection::may_end_now() {
  const bool is_piped = pipe_to_ != 0 || piped_from_ != 0;
  if (!politely_ || websocket_ || is_piped || paused_ || !input_.empty()) return false;
  const bool is_time = server_.now() >= close_at_ && pending_output() == 0;
  const bool is_said = has_framing() ? answered_ || (is_time && spoke_last_)
                                     : answered_ && is_time && !speaks_by_itself_;
  return is_said && !has_unread_input();
}

void StreamConnection::say_farewell() {
  if (is_ending() || lingering_) return;
  reason_ = APPSERVER_CLOSED_DRAINED;
  close(websocket::kGoingAway);
}

bool StreamConnection::begin_cut() {
  const bool has_unsent = this->has_unsent();
  is_part_ = !output_ended_ && !lingering_ && (has_unsent || server_.find(piped_from_) != nullptr);
  if (is_closed() || aborted_ || lingering_) return false;
  // An outbound end of a tunnel is its client's.
  if (is_outbound()) return has_unsent && piped_to() == nullptr;
  return has_unsent || !is_ending();
}

void StreamConnection::cut() {
  if (websocket_ && known_ && !is_ending() && !is_part_) {
    // As far as the kernel takes it: nobody waits for it any more.
    start_closing(websocket::kGoingAway, {});
    static_cast<void>(flush({}));
  }
  if (aborted_ || is_part_) reset_at_close();
  finish(aborted_ ? reason_ : APPSERVER_CLOSED_DRAINED, why_);
}

void StreamConnection::reset_at_close() {
  const struct ::linger reset {
    1, 0
  };
  ::setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void StreamConnection::finish(std::uint32_t reason, std::string_view text) {
  if (is_closed()) return;
  server_.wheel_.clear(*this);
  if (!is_secured() && !is_outbound()) server_.page_.tls_failed.add();
  close_socket(aborted_ || is_part_ ? Goodbye::unsaid : Goodbye::said);
  reason_ = reason;
  why_ = text;
  forget();
  server_.connection_ended(is_outbound());
}

// The plugin's part of it is over.
void StreamConnection::forget() {
  for (const appserver_connection other : {pipe_to_, piped_from_}) {
    if (StreamConnection* const found = server_.find(other)) found->close();
  }
  pipe_to_ = piped_from_ = 0;
  if (std::exchange(known_, false)) {
    const std::uint32_t code = websocket_ ? websocket_->peer_code : 0;
    handler().on_close(id_, reason_, code, why_);
  }
  id_ = 0;
}

}  // namespace appserver::net
