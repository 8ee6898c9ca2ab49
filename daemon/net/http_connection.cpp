#include "net/http_connection.hpp"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "net/websocket/upgrade.hpp"

namespace appserver::net {

HttpConnection::HttpConnection(HttpServer& server, std::uint32_t index, os::Fd socket,
                               std::string received, std::shared_ptr<const StreamListener> listener,
                               std::unique_ptr<tls::Session> tls, Ends ends)
    : Connection(server.context_, std::move(socket), std::move(tls), std::move(ends)),
      server_(server),
      listener_(std::move(listener)),
      input_(std::move(received)),
      index_(index) {}

void HttpConnection::begin() {
  if (input_.empty()) {
    next_wait();
  } else {
    server_.table_.schedule(*this);
  }
  settle();
}

void HttpConnection::run_scheduled() {
  if (!is_closed()) {
    const std::string data = std::exchange(input_, {});
    turn(data);
  }
  settle();
}

void HttpConnection::turn(std::string_view data) {
  in_turn_ = true;
  server_.cork_.clear();
  server_.answered_at_.reset();
  compress_waiting();
  process(data);
  in_turn_ = false;
  flush_turn();
  // Whatever became of it: no other connection may find it there.
  server_.cork_.clear();
  if (server_.cork_.capacity() > 2 * HttpServer::kMaxPendingOutput)
    std::string().swap(server_.cork_);
  if (server_.compressed_.capacity() > 2 * HttpServer::kMostWhole)
    std::string().swap(server_.compressed_);
  next_wait();
}

bool HttpConnection::may_begin_request() const {
  const bool full = pending_output() + server_.cork_.size() >= HttpServer::kMaxPendingOutput;
  // What comes after a handover belongs to the successor; a body that has begun is finished here.
  const bool successors = moves() && !in_body_;
  return exchange_ == 0 && !coder_ && !close_when_sent_ && !aborted_ && !is_closed() && !full &&
         !successors;
}

void HttpConnection::process(std::string_view data) {
  while (!data.empty() && may_begin_request()) {
    const http::Progress progress = read_request(data);
    if (progress == http::Progress::complete) {
      http::Request& request = (reader_ ? *reader_ : *server_.reader_).request();
      if (!begins_websocket(request, data)) hand_to_plugin(request);
      if (reader_) {
        reader_.reset();
      } else {
        server_.reader_->reset();
      }
    } else if (progress == http::Progress::refused) {
      refuse((reader_ ? *reader_ : *server_.reader_).refusal());
    } else {
      break;
    }
  }
  if (!data.empty() && !is_closed()) input_.assign(data);
}

http::Progress HttpConnection::read_request(std::string_view& data) {
  http::RequestReader& reader = reader_ ? *reader_ : *server_.reader_;
  std::size_t consumed = 0;
  const http::Progress progress = reader.read(data, consumed);
  data.remove_prefix(consumed);
  const bool was_in_body = std::exchange(in_body_, progress == http::Progress::need_body);
  // The body's time begins where the head's ended.
  if (in_body_ && !was_in_body) timing_request_ = false;
  if (progress == http::Progress::need_head || progress == http::Progress::need_body) {
    if (!reader_) {
      reader_ = std::move(server_.reader_);
      server_.reader_ = std::make_unique<http::RequestReader>(server_.limits_.request);
    }
    if (in_body_ && reader_->wants_continue()) out().append(http::kContinue);
  } else {
    timing_request_ = false;
  }
  return progress;
}

void HttpConnection::hand_to_plugin(http::Request& request) {
  const appserver_exchange exchange = server_.table_.next_id(index_);
  exchange_ = exchange;
  deferred_ = streaming_ = told_gone_ = false;
  answer_to_ = {request.view.version, request.keep_alive, request.head_method,
                server_.limits_.compression.enabled && http::accepts_gzip(request.view)};
  const std::string_view peer = remote();
  request.view.remote = {peer.data(), peer.size()};
  request.view.tls = tls() != nullptr ? &tls()->info() : nullptr;
  server_.page_.in_flight.add();
  // One look at the clock a request: the next of a batch begins where the last one's answer ended.
  began_ = server_.answered_at_ ? *server_.answered_at_ : std::chrono::steady_clock::now();
  // A loop that is busy with requests turns, though it may not come to its timers for long.
  server_.page_.heartbeat_ns.set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(began_.time_since_epoch()).count()));
  server_.handler_.on_request(exchange, request.view);
  if (exchange_ == exchange && !deferred_ && !streaming_) fail();
}

// RFC 6455, section 4.2; `behind` came after the request. False: it is a request like any other.
bool HttpConnection::begins_websocket(http::Request& request, std::string_view behind) {
  if (listener_ == nullptr) return false;
  const websocket::UpgradeFields fields(request.view);
  const bool wanted = request.view.body.size == 0 && websocket::wants_upgrade(fields.request());
  if (!wanted && !listener_->only_websockets) return false;
  if (!wanted) {
    refuse_upgrade(426, "only WebSockets are served here");
  } else if (const auto refused = websocket::why_not(fields.request()); refused.status != 0) {
    refuse_upgrade(refused.status, refused.why);
  } else {
    upgrade(request, behind);
  }
  return true;
}

void HttpConnection::upgrade(http::Request& request, std::string_view behind) {
  const std::string peer(remote());
  request.view.remote = {peer.data(), peer.size()};
  request.view.tls = tls() != nullptr ? &tls()->info() : nullptr;
  server_.wheel_.clear(*this);
  Handed moved;
  moved.received = std::string(behind);
  moved.unsent = take_output() + std::exchange(server_.cork_, {});
  moved.listener = listener_->text;
  moved.ends = told_ends();
  moved.kind = Handed::Kind::websocket;
  moved.tls = take_tls();
  moved.connection = release_socket();
  server_.on_upgrade_(std::move(moved), listener_, request.view);
  server_.connection_ended();
}

void HttpConnection::refuse_upgrade(unsigned status, std::string_view why) {
  server_.page_.refused.add();
  out().append(websocket::refusal(status, why, server_.date_.line()));
  close_when_sent_ = true;
  refused_ = true;
}

void HttpConnection::refuse(const http::Refusal& refusal) {
  server_.page_.refused.add();
  complain_of_proxy_header();
  http::write_error(out(), server_.date_, refusal.status, refusal.reason);
  close_when_sent_ = true;
  refused_ = true;
  in_body_ = false;
  if (reader_) {
    reader_.reset();
  } else {
    server_.reader_->reset();
  }
}

void HttpConnection::flush_turn() {
  if (is_closed()) return;
  // Of an aborted one the answers before it are whole: they go out as far as the kernel takes them
  // at once.
  if (broken_ || !flush(server_.cork_) || aborted_) close();
}

void HttpConnection::next_wait() {
  if (is_closed()) return;
  if (pending_output() > 0) {
    wait_for_output();
  } else if (coder_ && coder_->has_work()) {
    server_.wheel_.clear(*this);
    server_.table_.schedule_work(*this);
    return;
  } else if (close_when_sent_) {
    end_after_answer();
    return;
  } else if (exchange_ != 0) {
    server_.wheel_.clear(*this);
    watch_client();
    return;
  } else if (moves() && !in_body_) {
    move_to_successor();
    return;
  } else if (!input_.empty() && !reader_) {
    server_.table_.schedule(*this);
    return;
  } else {
    wait_for_input();
  }
  set_timeout();
}

void HttpConnection::go_on_with_handshake() {
  look_at_beginning_of_tls();
  const tls::Outcome outcome = shake_hands();
  if (outcome == tls::Outcome::done) {
    server_.page_.tls_handshakes.add();
    timing_request_ = false;
    next_wait();
  } else if (outcome == tls::Outcome::failed) {
    server_.page_.refused.add();
    complain_of_proxy_header();
    close();
  }
}

void HttpConnection::complain_of_proxy_header() {
  if (began_with_proxy_header() && server_.on_proxy_header_)
    server_.on_proxy_header_(remote(), local());
}

void HttpConnection::on_readable() {
  if (!is_secured()) {
    go_on_with_handshake();
    return;
  }
  if (lingering_) {
    discard_input();
    return;
  }
  if (exchange_ != 0) {
    look_at_client();
    return;
  }
  // A wait from before the connection became busy: what has come is read when its turn is.
  if (pending_output() > 0 || close_when_sent_ || coder_) return;
  auto& scratch = server_.scratch_;
  const auto got = receive(scratch);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    wait_for_input();
    return;
  }
  if (got <= 0) {
    close();
    return;
  }
  const std::string_view data(scratch.data(), static_cast<std::size_t>(got));
  if (tls() == nullptr) look_at_beginning(data);
  if (input_.empty()) {
    turn(data);
    return;
  }
  std::string joined = std::exchange(input_, {});
  joined.append(data);
  turn(joined);
}

void HttpConnection::on_writable() {
  const std::string data = std::exchange(input_, {});
  turn(data);
}

void HttpConnection::end_after_answer() {
  if (!refused_ && !ends_politely() && input_.empty() && !has_unread_input()) {
    close();
    return;
  }
  // Bytes that nobody reads would turn our close into a reset, and the answer could be lost with
  // it. In a drain a client that does not expect the end may be sending just now.
  shut_down_sending();
  lingering_ = true;
  wait_for_input();
  server_.wheel_.set(*this, HttpServer::kLinger);
}

void HttpConnection::discard_input() {
  auto& scratch = server_.scratch_;
  const auto got = discard(scratch);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) {
    wait_for_input();
    return;
  }
  close();
}

void HttpConnection::move_to_successor() {
  server_.wheel_.clear(*this);
  reader_.reset();
  Handed moved;
  moved.received = std::exchange(input_, {});
  if (listener_) moved.listener = listener_->text;
  moved.ends = told_ends();
  moved.connection = release_socket();
  server_.page_.handed_over.add();
  // A copy: the call may end the handover and the sink with it.
  const HttpServer::Sink sink = server_.sink_;
  sink(std::move(moved));
  server_.connection_ended();
}

void HttpConnection::close() {
  if (is_closed()) return;
  server_.wheel_.clear(*this);
  if (!is_secured()) server_.page_.tls_failed.add();
  const bool untold = exchange_ != 0 && (deferred_ || streaming_) && !told_gone_;
  if (untold && server_.handler_.wants_client_gone()) {
    // Not in the midst of this turn.
    boost::asio::post(server_.context_, [&handler = server_.handler_, gone = exchange_] {
      handler.on_client_gone(gone);
    });
  }
  // An answer that is cut must not look whole.
  close_socket(aborted_ || exchange_ != 0 || coder_ ? Goodbye::unsaid : Goodbye::said);
  end_coding();
  forget_exchange();
  server_.connection_ended();
}

void HttpConnection::settle() {
  if (may_be_removed()) server_.table_.remove(index_);
}

}  // namespace appserver::net
