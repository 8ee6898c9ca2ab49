// StreamConnection as an end of a pipe, or of a tunnel: two of them, one each way.
#include <utility>

#include "net/stream_connection.hpp"

namespace appserver::net {

bool StreamConnection::can_be_piped() const {
  return !has_framing() && !websocket_ && !is_ending();
}

void StreamConnection::pipe_to(StreamConnection& sink) {
  pipe_to_ = sink.id_;
  sink.piped_from_ = id_;
  if (!in_turn_) server_.table_.schedule(*this);
}

StreamConnection* StreamConnection::piped_to() const {
  return pipe_to_ == 0 ? nullptr : server_.find(pipe_to_);
}

bool StreamConnection::is_tunnel() const {
  const StreamConnection* const other = piped_to();
  return other != nullptr && other->pipe_to_ == id_;
}

bool StreamConnection::tunnel_has_unsent() const {
  const StreamConnection* const sink = piped_to();
  return sink != nullptr && sink->pending_output() > 0;
}

void StreamConnection::deliver_piped(std::string_view data) {
  StreamConnection* const sink = piped_to();
  if (sink == nullptr || sink->is_ending()) {
    close();
    return;
  }
  sink->output().append(data);
  if (sink->unsent() >= server_.limits_.send_buffer) sink->full_ = true;
  server_.table_.schedule(*sink);
}

bool StreamConnection::end_direction() {
  StreamConnection* const other = piped_to();
  if (!is_tunnel() || other->is_ending()) return false;
  input_ended_ = true;
  // Nothing else would tell while the other end is silent.
  wait_for_loss();
  other->ends_output_ = true;
  server_.table_.schedule(*other);
  return true;
}

void StreamConnection::on_lost() {
  finish(APPSERVER_CLOSED_FAILURE, "the peer is gone, and took no answer");
}

void StreamConnection::end_tunnel_output() {
  if (!ends_output_ || pending_output() > 0) return;
  if (!std::exchange(output_ended_, true)) end_output();
  if (!input_ended_ || close_when_sent_) return;
  reason_ = APPSERVER_CLOSED_BY_PEER;
  close_when_sent_ = true;
}

}  // namespace appserver::net
