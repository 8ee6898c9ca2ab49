#include "control/session.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/json/serialize.hpp>

#include "control/json_writer.hpp"

namespace appserver::control {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;

namespace {

class SessionEvents final : public EventStream {
 public:
  explicit SessionEvents(std::weak_ptr<Session> session) : session_(std::move(session)) {}
  ~SessionEvents() override {
    if (const auto session = session_.lock()) session->end_events();
  }
  void send(const RolloutEvent& event) override {
    if (const auto session = session_.lock()) session->send_event(event);
  }
  bool is_over() const override {
    const auto session = session_.lock();
    return !session || session->is_closed();
  }

 private:
  std::weak_ptr<Session> session_;
};

// Where a caller sees why what he asked for does not fit.
std::string_view way_out(Verb verb) {
  switch (verb) {
    case Verb::rollback:
      return "`appserverctl history` lists the releases";
    case Verb::events:
    case Verb::abort:
    case Verb::proceed:
    case Verb::confirm:
      return "`appserverctl reload status` tells of the last rollout";
    default:
      return "`appserverctl status` shows what runs";
  }
}

std::string_view shape(Verb verb) {
  if (verb != Verb::gateway) return "the body is one JSON object, such as {}";
  return "the body is one JSON object, such as {\"gateway\": \"gate\", \"verb\": \"send\", "
         "\"scope\": \"groups\", \"of\": [\"news\"], \"text\": \"hello\"}";
}

std::string head(unsigned status, std::string_view type, std::string_view more) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nServer: appserverd\r\nContent-Type: {}\r\nCache-Control: "
      "no-store\r\nConnection: close\r\n{}\r\n",
      status, std::string_view(http::obsolete_reason(static_cast<http::status>(status))), type,
      more);
}

}  // namespace

Session::Session(ControlSocket socket, const ServerOptions& options, Peer peer, Commands& commands,
                 std::function<void(Session&)> on_close)
    : socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      options_(options),
      peer_(peer),
      commands_(&commands),
      on_close_(std::move(on_close)),
      buffer_(2 * options.max_request),
      max_body_(options.max_request) {
  parser_.header_limit(static_cast<std::uint32_t>(options.max_request));
  parser_.body_limit(kMaxGatewayRequest);
}

void Session::start() {
  set_deadline(options_.request_timeout);
  http::async_read_header(
      socket_, buffer_, parser_,
      [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_head(error); });
}

// Messages to clients may be longer than what else is asked for.
void Session::on_head(beast::error_code error) {
  if (commands_ == nullptr || finishing_) return;
  const auto target = parser_.get().target();
  if (!error && std::string_view(target.data(), target.size()) == "/v1/gateway")
    max_body_ = kMaxGatewayRequest;
  if (!error && parser_.content_length().value_or(0) > max_body_) error = http::error::body_limit;
  if (error) return on_request(error);
  parser_.body_limit(max_body_);
  http::async_read(socket_, buffer_, parser_,
                   [self = shared_from_this()](beast::error_code failure, std::size_t) {
                     self->on_request(failure);
                   });
}

void Session::close() {
  if (commands_ == nullptr) return;
  commands_ = nullptr;
  beast::error_code ignored;
  clear_deadline();
  socket_.close(ignored);
  // The callback holds whoever made us, and must not be called again.
  const auto on_close = std::exchange(on_close_, nullptr);
  on_close(*this);
}

void Session::on_request(beast::error_code error) {
  if (commands_ == nullptr || finishing_) return;
  clear_deadline();
  reading_ = false;
  if (error == http::error::end_of_stream || error == asio::error::connection_reset) return close();
  if (error) return refuse_malformed(error);
  // Outlives the call, so that an exception's message comes before the answer that an abandoned
  // stream would give.
  std::shared_ptr<EventStream> events = std::make_shared<SessionEvents>(weak_from_this());
  try {
    dispatch(events);
  } catch (const BadJson& bad) {
    refuse(400, bad.what(), std::string(shape(verb_)));
  } catch (const Rejection& rejection) {
    answer(rejection.http_status(), to_json(rejection.reply()));
  } catch (const Conflict& conflict) {
    if (streaming_) return end_events();
    refuse(409, conflict.what(), std::string(way_out(verb_)));
  } catch (const std::exception& failure) {
    if (streaming_) return end_events();
    refuse(500, failure.what(), "see the log of appserverd");
  }
}

void Session::refuse_malformed(beast::error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(431, "the head of the request is too large",
                  fmt::format("at most {} bytes", options_.max_request));
  }
  if (error == http::error::body_limit) {
    return refuse(413, "the body of the request is too large",
                  fmt::format("at most {} bytes", max_body_));
  }
  refuse(400, fmt::format("not an HTTP request: {}", error.message()),
         "try: curl --unix-socket PATH http://x/v1/status");
}

void Session::dispatch(const std::shared_ptr<EventStream>& events) {
  const auto& request = parser_.get();
  chunked_ = request.version() >= 11;
  const auto route =
      find_route({request.method_string().data(), request.method_string().size()},
                 {request.target().data(), request.target().size()}, peer_.may_operate, peer_.uid);
  if (const auto* refusal = std::get_if<Refusal>(&route)) {
    return answer(refusal->http_status, to_json(refusal->reply), refusal->allow);
  }
  verb_ = std::get<Order>(route).verb;
  run(std::get<Order>(route), events);
}

void Session::run(const Order& order, const std::shared_ptr<EventStream>& events) {
  const auto confirmed = [this](const std::string& text) {
    answer(200, json::object{{"text", clean(text)}});
  };
  switch (order.verb) {
    case Verb::status:
      return answer(200, to_json(commands_->status()));
    case Verb::version: {
      const Status status = commands_->status();
      return answer(200, to_json(Version{status.daemon.version, status.daemon.pid}));
    }
    case Verb::rollout:
      return show_rollout();
    case Verb::history:
      return show_history();
    case Verb::crashes:
      return show_crashes();
    case Verb::crash:
      return show_crash(order.number);
    case Verb::gateway:
      return ask_gateway(events);
    case Verb::stop:
      return stop(parse_stop(parser_.get().body()));
    case Verb::abort:
      parse_nothing(parser_.get().body());
      return confirmed(commands_->abort(peer_));
    case Verb::proceed:
      parse_nothing(parser_.get().body());
      return confirmed(commands_->proceed(peer_));
    case Verb::confirm:
      parse_nothing(parser_.get().body());
      return confirmed(commands_->confirm(peer_));
    case Verb::events:
    case Verb::reload:
    case Verb::restart:
    case Verb::rollback:
    case Verb::scale:
    case Verb::drain:
      return run_rollout(order.verb, events);
  }
}

// Those that answer with events.
void Session::run_rollout(Verb verb, const std::shared_ptr<EventStream>& events) {
  const std::string& body = parser_.get().body();
  const auto give = [&](auto request, auto command) {
    watch_for_hangup();
    (commands_->*command)(std::move(request), peer_, events);
  };
  if (verb == Verb::reload) return give(parse_reload(body), &Commands::reload);
  if (verb == Verb::restart) return give(parse_restart(body), &Commands::restart);
  if (verb == Verb::rollback) return give(parse_rollback(body), &Commands::rollback);
  if (verb == Verb::scale) return give(parse_scale(body), &Commands::scale);
  if (verb == Verb::drain) return give(parse_drain(body), &Commands::drain);
  if (!commands_->rollout()) throw Conflict("there was no rollout since the daemon started");
  watch_for_hangup();
  commands_->watch(events);
}

void Session::show_rollout() {
  const std::optional<RolloutStatus> rollout = commands_->rollout();
  answer(200, json::object{{"rollout", rollout ? to_json(*rollout) : json::value(nullptr)}});
}

void Session::show_history() {
  json::array releases;
  for (const ReleaseSummary& release : commands_->history()) releases.push_back(to_json(release));
  answer(200, json::object{{"releases", std::move(releases)}});
}

void Session::show_crashes() {
  json::array crashes;
  for (CrashRecord& crash : commands_->crashes()) {
    crash.stack.clear();
    crash.output.clear();
    crashes.push_back(to_json(crash));
  }
  answer(200, json::object{{"crashes", std::move(crashes)}});
}

void Session::show_crash(std::uint64_t number) {
  if (const std::optional<CrashRecord> crash = commands_->crash(number)) {
    return answer(200, to_json(*crash));
  }
  refuse(404, fmt::format("there is no record of a crash {}", number),
         "`appserverctl crashes` lists those that are kept");
}

void Session::ask_gateway(const std::shared_ptr<EventStream>& events) {
  watch_for_hangup();
  commands_->gateway(parse_gateway(parser_.get().body()), peer_,
                     // With the stream it is told if no answer ever comes.
                     [weak = weak_from_this(), events](const GatewayReply& reply) {
                       if (const auto self = weak.lock()) self->answer(200, to_json(reply));
                     });
}

void Session::stop(const StopRequest& request) {
  // Answered first: a fast stop may end the process before this thread comes back to the socket.
  Commands& commands = *commands_;
  answer(202, json::object{{"stopping", true}, {"fast", request.fast}});
  commands.stop(request, peer_);
}

void Session::answer(unsigned status, const json::value& body, std::string_view allow) {
  if (commands_ == nullptr || finishing_) return;
  const std::string text = json::serialize(body) + "\n";
  std::string more = fmt::format("Content-Length: {}\r\n", text.size());
  if (!allow.empty()) more += fmt::format("Allow: {}\r\n", allow);
  // A whole answer is bounded by what it describes, so max_unread does not apply.
  out_ += head(status, "application/json", more) + text;
  finish();
}

void Session::refuse(unsigned status, std::string error, std::string hint) {
  answer(status, to_json(ErrorReply{std::move(error), std::move(hint)}));
}

void Session::begin_stream() {
  streaming_ = true;
  send(head(200, "application/jsonl", chunked_ ? "Transfer-Encoding: chunked\r\n" : ""));
}

void Session::send_event(const RolloutEvent& event) {
  if (commands_ == nullptr || finishing_) return;
  if (!streaming_) begin_stream();
  const std::string line = json::serialize(to_json(event)) + "\n";
  send(chunked_ ? fmt::format("{:x}\r\n{}\r\n", line.size(), line) : line);
  if (event.kind == EventKind::done) end_events();
}

void Session::end_events() {
  if (commands_ == nullptr || finishing_) return;
  if (!streaming_) return refuse(500, "the daemon gave no answer", "see the log of appserverd");
  if (chunked_) send("0\r\n\r\n");
  finish();
}

// A caller who closes is noticed before the next event. One that only shuts down its sending side
// is not: it still reads.
void Session::watch_for_hangup() {
  socket_.async_wait(asio::socket_base::wait_error,
                     [self = shared_from_this()](beast::error_code error) {
                       if (!error) self->close();
                     });
}

void Session::send(std::string_view bytes) {
  if (commands_ == nullptr || finishing_) return;
  if (out_.size() + bytes.size() > options_.max_unread) return close();
  out_ += bytes;
  pump();
}

void Session::finish() {
  finishing_ = true;
  pump();
}

// Written at once rather than by an asynchronous operation, so that what a reload or a stop says
// last is out even if the process ends next.
void Session::pump() {
  if (commands_ == nullptr || waiting_to_write_) return;
  std::size_t done = 0;
  while (done < out_.size()) {
    const ::ssize_t sent = ::send(socket_.native_handle(), out_.data() + done, out_.size() - done,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<std::size_t>(sent);
    } else if (errno != EINTR) {
      break;
    }
  }
  const bool blocked = done < out_.size() && (errno == EAGAIN || errno == EWOULDBLOCK);
  const bool broken = done < out_.size() && !blocked;
  out_.erase(0, done);
  if (broken || (out_.empty() && finishing_)) return close();
  if (!blocked) return;
  waiting_to_write_ = true;
  set_deadline(options_.write_timeout);
  socket_.async_wait(asio::socket_base::wait_write,
                     [self = shared_from_this()](beast::error_code error) {
                       self->waiting_to_write_ = false;
                       if (self->commands_ == nullptr) return;
                       self->clear_deadline();
                       if (error) return self->close();
                       self->pump();
                     });
}

// cancel() cannot call back a handler that is queued already; the number tells such a one that it
// is void.
void Session::clear_deadline() {
  ++deadline_id_;
  deadline_.cancel();
}

void Session::set_deadline(std::chrono::milliseconds timeout) {
  const auto id = ++deadline_id_;
  deadline_.expires_after(timeout);
  deadline_.async_wait([self = shared_from_this(), id](beast::error_code) {
    if (id != self->deadline_id_ || self->commands_ == nullptr) return;
    if (!self->reading_) return self->close();
    self->reading_ = false;
    self->refuse(408, "the request did not arrive in time",
                 fmt::format("all of it within {} ms", self->options_.request_timeout.count()));
  });
}

}  // namespace appserver::control
