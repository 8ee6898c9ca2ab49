// StreamConnection as a WebSocket.
#include <algorithm>
#include <utility>

#include "net/stream_connection.hpp"
#include "net/websocket/frame.hpp"
#include "net/websocket/upgrade.hpp"

namespace appserver::net {

using websocket::Event;

void StreamConnection::open(const appserver_http_request& request,
                            const websocket::UpgradeRequest& fields) {
  in_turn_ = true;
  server_.cork_.clear();
  const auto answer = handler().on_websocket_open(id_, request);
  if (answer.status != 0) {
    server_.page_.refused.add();
    server_.cork_ = websocket::refusal(answer.status, answer.text, server_.date_.line());
    websocket_.reset();
    close_when_sent_ = true;
  } else {
    known_ = true;
    websocket_->subprotocol = answer.protocol;
    // Before what the hook has sent.
    server_.cork_.insert(
        0, websocket::switching_head(fields.key, answer.protocol, websocket_->deflate != nullptr));
  }
  if (unsent() >= server_.limits_.send_buffer) full_ = true;
  turn({});
  settle();
}

bool StreamConnection::awaits_close() const {
  return websocket_ && websocket_->close_sent && !close_when_sent_ && !aborted_ && !lingering_ &&
         !is_closed();
}

bool StreamConnection::at_boundary() const {
  return !websocket_ || websocket_->reader.at_boundary();
}

// Behind those that wait already.
bool StreamConnection::may_work() {
  auto& table = server_.table_;
  return (in_own_turn_ || !table.has_work()) && table.budget().allows_more();
}

bool StreamConnection::has_own_work() const {
  if (!websocket_) return false;
  const bool reads = may_deliver() || awaits_close();
  return !websocket_->outbox.empty() || (reads && (waits_for_turn_ || websocket_->is_inflating()));
}

void StreamConnection::schedule_work() {
  waits_for_turn_ = true;
  const websocket::Session& session = *websocket_;
  const bool has_begun = session.is_inflating() || session.outbox.has_begun() ||
                         (answered_ && !session.outbox.empty());
  if (has_begun) {
    server_.table_.schedule_begun_work(*this);
  } else {
    server_.table_.schedule_work(*this);
  }
}

void StreamConnection::process_frames(std::span<char>& data) {
  websocket::MessageReader& reader = websocket_->reader;
  while ((reader.is_inflating() || !data.empty()) && (may_deliver() || awaits_close())) {
    if (websocket_->deflate != nullptr && !may_work()) {
      waits_for_turn_ = true;
      return;
    }
    const Event event = reader.is_inflating() ? reader.go_on(StreamServer::kInflated)
                                              : reader.next(data, StreamServer::kInflated);
    if (reader.has_inflated()) server_.table_.budget().worked();
    if (event.kind == Event::Kind::incomplete) {
      seen_ = data.size();
      return;
    }
    seen_ = 0;
    if (event.kind == Event::Kind::failed) {
      // What is left of the data says that there may be more to discard.
      fail(event);
      return;
    }
    data = data.subspan(event.size);
    handle(event);
    if (websocket_->close_received) data = {};
  }
}

void StreamConnection::handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::message:
      timing_message_ = false;
      websocket_->message_at = server_.now();
      if (!websocket_->close_sent) deliver(event.text, event.is_text);
      websocket_->reader.forget();
      break;
    case Event::Kind::ping:
      if (!websocket_->close_sent) answer_ping(event.text);
      break;
    case Event::Kind::close:
      peer_closes(event);
      break;
    case Event::Kind::fragment:
    case Event::Kind::unfinished:
    case Event::Kind::pong:
    case Event::Kind::incomplete:
    case Event::Kind::failed:
      break;
  }
}

// Of pings that come faster than their pongs are taken only the newest is answered (RFC 6455,
// section 5.5.3).
void StreamConnection::answer_ping(std::string_view payload) {
  if (pending_output() > 0) {
    websocket_->ping = payload;
    websocket_->owes_pong = true;
  } else {
    websocket_->append(server_.cork_, websocket::Opcode::pong, payload);
  }
}

void StreamConnection::append_owed_pong(std::string& out) {
  if (!websocket_ || !std::exchange(websocket_->owes_pong, false)) return;
  websocket_->append(out, websocket::Opcode::pong, websocket_->ping);
  std::string().swap(websocket_->ping);
}

void StreamConnection::peer_closes(const Event& event) {
  const bool says_why = event.code != websocket::kNoStatus;
  websocket_->close_received = true;
  websocket_->peer_code = says_why ? event.code : std::uint16_t{0};
  if (!websocket_->close_sent) {
    reason_ = APPSERVER_CLOSED_BY_PEER;
    why_ = event.text;
    start_closing(says_why ? event.code : websocket::kNormal, {});
  }
  close_when_sent_ = true;
}

void StreamConnection::fail(const Event& event) {
  if (!websocket_->close_sent) {
    count_refused();
    reason_ = event.code == websocket::kTooBig ? APPSERVER_CLOSED_LIMIT : APPSERVER_CLOSED_PROTOCOL;
    why_ = event.text;
    start_closing(event.code, {});
  }
  close_when_sent_ = true;
}

void StreamConnection::start_closing(std::uint16_t code, std::string_view reason) {
  if (std::exchange(websocket_->close_sent, true)) return;
  websocket_->owes_pong = false;
  websocket_->append_close(in_turn_ ? server_.cork_ : output(), code, reason);
}

// Nothing of the client's waits to be answered.
bool StreamConnection::may_close_now() {
  if (!websocket_ || !politely_ || is_ending() || server_.now() < close_at_) return false;
  const bool under_way = seen_ > 0 || !at_boundary() || has_unsent();
  return !under_way && (paused_ || (input_.empty() && !has_unread_input()));
}

milliseconds StreamConnection::quiet_time() const {
  const StreamLimits& limits = server_.limits_;
  const milliseconds now = server_.now();
  auto until = milliseconds::max();
  if (politely_) until = close_at_;
  if (limits.idle_timeout.count() > 0)
    until = std::min(until, websocket_->message_at + limits.idle_timeout);
  if (limits.ping_interval.count() > 0 && !paused_) {
    const milliseconds since = websocket_->pinged ? websocket_->pinged_at : websocket_->heard_at;
    until = std::min(until, since + limits.ping_interval);
  }
  return until == milliseconds::max() ? until : std::max(until - now, milliseconds(0));
}

void StreamConnection::on_quiet() {
  const StreamLimits& limits = server_.limits_;
  const milliseconds now = server_.now();
  websocket::Session& session = *websocket_;
  const bool pings = limits.ping_interval.count() > 0 && !paused_;
  if (may_close_now()) {
    reason_ = APPSERVER_CLOSED_DRAINED;
    start_closing(websocket::kGoingAway, {});
  } else if (limits.idle_timeout.count() > 0 && now - session.message_at >= limits.idle_timeout) {
    reason_ = APPSERVER_CLOSED_TIMEOUT;
    why_ = "no message was sent or received for limits.stream_idle_timeout";
    start_closing(websocket::kNormal, {});
  } else if (pings && session.pinged && now - session.pinged_at >= limits.ping_interval) {
    finish(APPSERVER_CLOSED_TIMEOUT, "a ping was not answered within limits.ping_interval");
  } else if (pings && !session.pinged && now - session.heard_at >= limits.ping_interval) {
    session.pinged = true;
    session.pinged_at = now;
    session.append(output(), websocket::Opcode::ping, {});
  }
  next_wait();
}

}  // namespace appserver::net
