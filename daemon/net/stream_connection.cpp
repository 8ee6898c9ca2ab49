#include "net/stream_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace appserver::net {

using stream::Cut;
using stream::Framing;

StreamConnection::StreamConnection(StreamServer& server, std::uint32_t index, Handed moved,
                                   std::shared_ptr<const StreamListener> listener,
                                   std::shared_ptr<StreamHandler> opener)
    : Connection(server.context_, std::move(moved.connection), std::move(moved.tls),
                 std::move(moved.ends)),
      server_(server),
      listener_(std::move(listener)),
      opener_(std::move(opener)),
      input_(std::move(moved.received)),
      id_(server.table_.next_id(index)),
      index_(index),
      paused_(moved.paused) {
  output() = std::move(moved.unsent);
  if (moved.kind == Handed::Kind::websocket) make_websocket(moved);
  const bool drains = server.polite_drain_ || (server.sink_ != nullptr && tls() != nullptr);
  if (drains && !is_outbound()) be_polite();
}

void StreamConnection::make_websocket(Handed& moved) {
  websocket_ = std::make_unique<websocket::Session>(
      server_.limits_.max_message, moved.deflate ? &server_.deflate() : nullptr,
      std::move(moved.subprotocol), server_.now(),
      opener_ ? websocket::Side::client : websocket::Side::server);
}

void StreamConnection::begin(bool adopted, const std::string& state) {
  if (is_secured()) {
    welcome(adopted, state);
  } else {
    wait_for_input();
    set_timeout();
  }
  settle();
}

void StreamConnection::go_on_with_handshake() {
  look_at_beginning_of_tls();
  const tls::Outcome outcome = shake_hands();
  if (outcome == tls::Outcome::done) {
    if (!is_outbound()) server_.page_.tls_handshakes.add();
    timing_message_ = false;
    welcome(false, {});
  } else if (outcome == tls::Outcome::failed) {
    count_refused();
    complain_of_proxy_header();
    finish(APPSERVER_CLOSED_FAILURE, input_error(0));
  }
}

void StreamConnection::welcome(bool adopted, const std::string& state) {
  in_turn_ = true;
  server_.cork_.clear();
  known_ = adopted ? handler().on_adopt(id_, state) : handler().on_connect(id_);
  // A peer that was served before still gets what waits for it.
  if (!known_) (adopted ? close_when_sent_ : aborted_) = true;
  if (!known_ && websocket_) start_closing(websocket::kGoingAway, {});
  if (unsent() >= server_.limits_.send_buffer) full_ = true;
  turn({});
}

void StreamConnection::run_scheduled() {
  if (!is_closed()) {
    const bool reads = std::exchange(reads_in_turn_, false);
    in_own_turn_ = std::exchange(waits_for_turn_, false);
    server_.cork_.clear();
    turn({});
    if (reads && !is_closed() && !lingering_ && !waits_for_turn_) read();
    in_own_turn_ = false;
  }
  settle();
}

// `data`: bytes that have come, behind those of input_.
void StreamConnection::turn(std::span<char> data) {
  in_turn_ = true;
  answered_ = false;
  if (websocket_ && !websocket_->outbox.empty() && may_work())
    websocket_->append_waiting(server_.cork_, server_.table_.budget());
  if (input_.empty()) {
    process(data);
    input_.assign(data.data(), data.size());
  } else {
    input_.append(data.data(), data.size());
    std::span<char> rest(input_);
    process(rest);
    input_.erase(0, input_.size() - rest.size());
  }
  if (input_.empty()) std::string().swap(input_);
  in_turn_ = false;
  const int error = flush_turn() ? 0 : errno;
  // Whatever became of it: no other connection may find it there.
  server_.cork_.clear();
  if (server_.cork_.capacity() > 2 * server_.limits_.send_buffer) std::string().swap(server_.cork_);
  if (error != 0) {
    finish(APPSERVER_CLOSED_FAILURE, input_error(error));
  } else if (aborted_) {
    cut();
  } else {
    check_buffer();
    next_wait();
  }
}

bool StreamConnection::flush_turn() {
  if (!flush(server_.cork_)) return false;
  if (!websocket_ || !websocket_->owes_pong || pending_output() > 0) return true;
  std::string pong;
  append_owed_pong(pong);
  return flush(pong);
}

bool StreamConnection::may_deliver() const {
  // What comes after a handover belongs to the successor.
  const bool successors = server_.sink_ != nullptr && !is_outbound() && !stays_ && at_boundary();
  const StreamConnection* const sink = piped_to();
  // Each way of a tunnel is paced by its own sink: a peer may read on only while it is read from.
  const bool full = sink == nullptr ? full_ : sink->is_full();
  return !paused_ && !full && !successors && !input_ended_ && !is_ending();
}

void StreamConnection::process(std::span<char>& data) {
  if (websocket_) {
    process_frames(data);
    return;
  }
  std::string_view rest(data.data(), data.size());
  process_messages(rest);
  data = data.last(rest.size());
}

void StreamConnection::process_messages(std::string_view& data) {
  while (!data.empty() && may_deliver()) {
    if (pipe_to_ != 0) {
      deliver_piped(std::exchange(data, {}));
      return;
    }
    const Cut found = next_message(data);
    if (found.kind == Cut::Kind::incomplete) {
      seen_ = data.size();
      return;
    }
    seen_ = 0;
    timing_message_ = false;
    if (found.kind != Cut::Kind::message) {
      refuse(found);
      return;
    }
    data.remove_prefix(found.size);
    deliver(found.message, listener_->framing == Framing::text);
  }
}

bool StreamConnection::has_framing() const {
  return listener_->framing != Framing::raw || handler().has_own_framing();
}

Cut StreamConnection::next_message(std::string_view data) {
  if (listener_->framing == Framing::raw && handler().has_own_framing()) return measured(data);
  return stream::cut(listener_->framing, data, server_.limits_.max_message, seen_);
}

Cut StreamConnection::measured(std::string_view data) {
  const auto length = handler().measure(id_, data);
  if (!length) return {Cut::Kind::malformed, 0, {}};
  const std::size_t most = server_.limits_.max_message;
  if (*length > most || (*length == 0 && data.size() > most)) return {Cut::Kind::too_long, 0, {}};
  if (*length == 0 || *length > data.size()) return {};
  const std::string_view message = data.substr(0, static_cast<std::size_t>(*length));
  return {Cut::Kind::message, message.size(), message};
}

void StreamConnection::deliver(std::string_view message, bool is_text) {
  const auto began = std::chrono::steady_clock::now();
  // A loop that is busy with messages turns, though it may not come to its timers for long.
  server_.page_.heartbeat_ns.set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(began.time_since_epoch()).count()));
  spoke_last_ = false;
  using Outcome = StreamHandler::Outcome;
  const Outcome outcome = handler().on_message(
      id_, is_text ? APPSERVER_MESSAGE_TEXT : APPSERVER_MESSAGE_BINARY, message);
  if (!is_outbound()) {
    server_.page_.requests.add();
    server_.page_.latency.add(std::chrono::steady_clock::now() - began);
  }
  if (outcome == Outcome::good) return;
  server_.page_.failed.add();
  server_.page_.server_errors.add();
  if (outcome == Outcome::failed) return;
  why_ = "on_message failed";
  close(websocket::kInternalError);
}

// What clients send is looked at by who runs the daemon, what servers answer by who asked them.
void StreamConnection::count_refused() {
  if (!is_outbound()) server_.page_.refused.add();
}

void StreamConnection::complain_of_proxy_header() {
  if (!is_outbound() && began_with_proxy_header() && server_.on_proxy_header_)
    server_.on_proxy_header_(remote(), local());
}

void StreamConnection::refuse(const Cut& found) {
  count_refused();
  complain_of_proxy_header();
  const bool too_long = found.kind == Cut::Kind::too_long;
  reason_ = too_long ? APPSERVER_CLOSED_LIMIT : APPSERVER_CLOSED_PROTOCOL;
  why_ = too_long ? "a message over limits.max_message"
                  : "what came is no message of " + listener_->protocol;
  close_when_sent_ = true;
}

std::size_t StreamConnection::unsent() const {
  return pending_output() + (in_turn_ ? server_.cork_.size() : 0) +
         (websocket_ ? websocket_->outbox.size() : 0);
}

std::int32_t StreamConnection::send(std::uint32_t kind, std::string_view message) {
  if (is_ending() || lingering_ || ends_output_) return APPSERVER_GONE;
  if (full_) return APPSERVER_LIMIT;
  if (kind > APPSERVER_MESSAGE_TEXT) return APPSERVER_INVALID;
  std::string& out = in_turn_ ? server_.cork_ : output();
  if (websocket_) {
    const bool works = websocket_->works_on(message) && may_work();
    TurnBudget* const budget = works ? &server_.table_.budget() : nullptr;
    if (!websocket_->append_message(out, kind == APPSERVER_MESSAGE_TEXT, message, budget))
      return APPSERVER_INVALID;
    websocket_->message_at = server_.now();
  } else if (stream::can_append(listener_->framing, message, server_.limits_.max_message)) {
    stream::append(out, listener_->framing, message);
  } else {
    return APPSERVER_INVALID;
  }
  answered_ = spoke_last_ = true;
  if (!in_turn_) speaks_by_itself_ = true;
  if (unsent() >= server_.limits_.send_buffer) full_ = true;
  if (!in_turn_) server_.table_.schedule(*this);
  return APPSERVER_OK;
}

void StreamConnection::close(std::uint16_t code, std::string_view reason) {
  if (websocket_) {
    start_closing(code, reason);
  } else {
    close_when_sent_ = true;
  }
  if (!in_turn_) server_.table_.schedule(*this);
}

void StreamConnection::abort() {
  aborted_ = true;
  if (!in_turn_) server_.table_.schedule(*this);
}

void StreamConnection::pause(bool paused) {
  if (std::exchange(paused_, paused) == paused || in_turn_) return;
  server_.table_.schedule(*this);
}

void StreamConnection::describe(appserver_connection_info& info) {
  const auto view = [](std::string_view text) { return appserver_str{text.data(), text.size()}; };
  appserver_connection_info facts{};
  facts.size = std::min<std::uint32_t>(info.size, sizeof(facts));
  facts.paused = paused_ ? 1 : 0;
  facts.protocol = view(listener_->protocol);
  facts.remote = view(remote());
  facts.local = view(local());
  facts.listener = view(listener_->text);
  facts.bytes_in = received_;
  facts.bytes_out = sent_;
  facts.unsent = unsent();
  if (websocket_) facts.subprotocol = view(websocket_->subprotocol);
  if (tls() != nullptr && is_secured()) facts.tls = &tls()->info();
  std::memcpy(&info, &facts, facts.size);
}

// The hooks run outside of the turn: what they send goes out in the next one.
void StreamConnection::check_buffer() {
  if (!full_) return;
  if (known_ && !std::exchange(said_full_, true)) handler().on_buffer_full(id_);
  if (is_closed() || unsent() > server_.limits_.send_buffer / 4) return;
  full_ = said_full_ = false;
  if (StreamConnection* const source = server_.find(piped_from_)) server_.table_.schedule(*source);
  if (known_) handler().on_buffer_drain(id_);
}

void StreamConnection::next_wait() {
  if (is_closed() || lingering_) return;
  if (server_.sink_ && !is_outbound() && move_to_successor()) return;
  if (may_close_now()) {
    reason_ = APPSERVER_CLOSED_DRAINED;
    start_closing(websocket::kGoingAway, {});
  }
  if (may_end_now()) {
    reason_ = APPSERVER_CLOSED_DRAINED;
    close_when_sent_ = true;
  }
  if (pending_output() > 0) wait_for_output();
  end_tunnel_output();
  if (close_when_sent_ && !has_unsent()) {
    linger();
    return;
  }
  if (has_own_work()) {
    schedule_work();
  } else if (close_when_sent_) {
    // As the kernel takes what waits.
  } else if (awaits_close()) {
    wait_for_input();
  } else if (may_deliver()) {
    const bool has_message = !input_.empty() && seen_ == 0;
    if (has_message) {
      server_.table_.schedule(*this);
    } else {
      wait_for_input();
    }
  }
  set_timeout();
}

void StreamConnection::on_readable() {
  if (!is_secured()) {
    go_on_with_handshake();
    return;
  }
  if (lingering_) {
    discard_input();
    return;
  }
  if (waits_for_turn_ && is_scheduled()) return;
  if (websocket_ && websocket_->deflate != nullptr && (may_deliver() || awaits_close()) &&
      !may_work()) {
    reads_in_turn_ = true;
    schedule_work();
    return;
  }
  read();
}

void StreamConnection::read() {
  // A wait from before: what has come is read when its turn is.
  if (!may_deliver() && !awaits_close()) return;
  auto& scratch = server_.scratch_;
  const ssize_t got = receive(scratch);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    wait_for_input();
    return;
  }
  if (got < 0) {
    finish(APPSERVER_CLOSED_FAILURE, input_error(errno));
    return;
  }
  if (got == 0 && awaits_close()) {
    finish(reason_, why_);
    return;
  }
  if (got == 0 && end_direction()) {
    next_wait();
    return;
  }
  if (got == 0) {
    // It may still read what waits for it.
    reason_ = APPSERVER_CLOSED_BY_PEER;
    close_when_sent_ = true;
    next_wait();
    return;
  }
  if (tls() == nullptr) look_at_beginning({scratch.data(), static_cast<std::size_t>(got)});
  received_ += static_cast<std::uint64_t>(got);
  if (websocket_) {
    websocket_->heard_at = server_.now();
    websocket_->pinged = false;
  }
  turn({scratch.data(), static_cast<std::size_t>(got)});
}

void StreamConnection::on_writable() { turn({}); }

void StreamConnection::settle() {
  if (may_be_removed()) server_.table_.remove(index_);
}

}  // namespace appserver::net
