#include "net/client/http_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "net/client/authorities.hpp"
#include "net/client/call.hpp"
#include "net/client/http_exchange.hpp"

namespace appserver::net::client {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

struct Idle {
  Idle(asio::io_context& context, std::shared_ptr<Transport> kept)
      : transport(std::move(kept)), timer(context) {}
  std::shared_ptr<Transport> transport;
  asio::steady_timer timer;
};

struct Origin {
  std::size_t active = 0;
  std::list<Idle> idle{};  // the one used last at the end
  std::deque<std::shared_ptr<Call>> queue{};
};

}  // namespace

class HttpClient::Core final : public std::enable_shared_from_this<Core> {
 public:
  Core(asio::io_context& context, const HttpPoolLimits& limits)
      : context_(context), limits_(limits) {}

  CallId start(HttpRequest request, std::optional<HttpPieces> pieces, CallDone done);
  bool pause(CallId id, bool paused);
  bool cancel(CallId id);
  void clear();
  std::size_t calls() const { return calls_.size(); }
  std::size_t idle() const { return idle_; }

 private:
  using Held = std::shared_ptr<Call>;

  void submit(const Held& call);
  void launch(const Held& call);
  // Both outlive the client: they hold it themselves.
  static Work<> run(std::shared_ptr<Core> self, Held call);
  Work<Answer> attempt(Held call);
  Work<std::shared_ptr<Transport>> open(Held call);
  void conclude(const Held& call, std::optional<Answer> answer);
  void fail(const Held& call, Failure failure, std::string_view why);
  void fail_later(const Held& call, Failure failure, std::string why);
  void finish(const Held& call, CallResult result);
  void release_slot(const std::string& origin);
  void forget_if_unused(const std::string& origin);
  void set_deadline(const Held& call);
  void keep(const std::string& origin, std::shared_ptr<Transport> transport);
  std::shared_ptr<Transport> take_idle(const std::string& origin);
  void drop_idle(const std::string& origin, const Transport* transport);

  asio::io_context& context_;
  HttpPoolLimits limits_;
  Authorities authorities_;
  std::unordered_map<CallId, Held> calls_;
  std::map<std::string, Origin> origins_;
  CallId last_id_ = 0;
  std::size_t idle_ = 0;
};

HttpClient::CallId HttpClient::Core::start(HttpRequest request, std::optional<HttpPieces> pieces,
                                           CallDone done) {
  const CallId id = ++last_id_;
  const auto call = std::make_shared<Call>(context_, id, std::move(request), std::move(done));
  call->pieces = std::move(pieces);
  calls_.emplace(id, call);
  call->said =
      fmt::format("{} {}", call->request.method.substr(0, 32), call->request.url.substr(0, 256));
  if (calls_.size() > limits_.max_calls) {
    fail_later(call, Failure::limit,
               fmt::format("{} calls are under way already", limits_.max_calls));
    return id;
  }
  try {
    check_request(call->request);
    call->target = parse_target(call->request.url);
  } catch (const CallError& error) {
    // The URL may hold what no log should.
    if (call->request.url.find('@') != std::string::npos) call->said = call->request.method;
    fail_later(call, error.failure, error.what());
    return id;
  }
  set_deadline(call);
  submit(call);
  return id;
}

void HttpClient::Core::set_deadline(const Held& call) {
  call->deadline.expires_after(call->request.options.timeout);
  call->deadline.async_wait([self = weak_from_this(), call](const error_code& error) {
    const auto core = self.lock();
    if (error || !core || call->is_over() || !call->is_overdue()) return;
    core->fail(call, Failure::timeout,
               fmt::format("{} within {} ms (timeout)",
                           call->has_begun ? "no more of the answer" : "no whole answer",
                           call->request.options.timeout.count()));
  });
}

void HttpClient::Core::submit(const Held& call) {
  call->origin = call->target.origin() + "\n" + call->request.options.ca_file;
  Origin& origin = origins_[call->origin];
  if (origin.active < limits_.max_connections) {
    ++origin.active;
    launch(call);
  } else if (origin.queue.size() < limits_.max_queue) {
    origin.queue.push_back(call);
  } else {
    fail_later(call, Failure::limit,
               fmt::format("{} connections to {} are busy and {} calls wait for them",
                           origin.active, call->target.authority, origin.queue.size()));
  }
}

void HttpClient::Core::launch(const Held& call) {
  asio::co_spawn(context_.get_executor(), run(shared_from_this(), call),
                 [](const std::exception_ptr& error) {
                   if (error) std::rethrow_exception(error);
                 });
}

Work<> HttpClient::Core::run(std::shared_ptr<Core> self, Held call) {
  // Not within start().
  co_await asio::post(asio::use_awaitable_t<Executor>{});
  const std::string origin = call->origin;
  std::optional<Answer> answer;
  std::optional<CallError> failed;
  try {
    if (!call->is_over()) answer = co_await self->attempt(call);
  } catch (const CallError& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = CallError(Failure::connect, error.what());
  }
  call->connect_deadline.cancel();
  const auto transport = std::exchange(call->transport, nullptr);
  if (transport && answer && answer->keep_alive && !call->is_over()) {
    self->keep(origin, transport);
  } else if (transport) {
    transport->close();
  }
  self->release_slot(origin);
  // Its end, good or bad, is told no earlier than the pieces would be. Nobody else waits for it:
  // its connection is free already.
  if (call->has_begun) co_await until_resumed(call);
  if (call->is_over()) co_return;
  if (failed) {
    self->fail(call, failed->failure, failed->what());
  } else {
    self->conclude(call, std::move(answer));
  }
}

Work<Answer> HttpClient::Core::attempt(Held call) {
  const std::string head = request_head(call->request, call->target);
  CallSink sink(call, [self = weak_from_this(), call] {
    if (const auto core = self.lock()) core->set_deadline(call);
  });
  for (;;) {
    call->transport = call->fresh_only ? nullptr : take_idle(call->origin);
    const bool kept = call->transport != nullptr;
    if (!kept) co_await open(call);
    Answer answer =
        co_await exchange(*call->transport, head, call->request.body,
                          call->request.method == "HEAD", call->request.options.max_body, sink);
    if (!answer.unanswered) co_return answer;
    const bool again = kept && is_idempotent(call->request.method) && !call->is_over();
    if (!again) throw CallError(Failure::lost, answer.why);
    call->transport->close();
    call->fresh_only = true;
  }
}

Work<std::shared_ptr<Transport>> HttpClient::Core::open(Held call) {
  const HttpOptions& options = call->request.options;
  call->transport = std::make_shared<Transport>(context_);
  const auto transport = call->transport;
  const auto deadline = Clock::now() + options.connect_timeout;
  call->connect_deadline.expires_at(deadline);
  call->connect_deadline.async_wait([self = weak_from_this(), call](const error_code& error) {
    const auto core = self.lock();
    if (error || !core || call->is_over()) return;
    core->fail(call, Failure::timeout,
               fmt::format("not connected within {} ms (connect_timeout)",
                           call->request.options.connect_timeout.count()));
  });
  auto addresses = co_await transport->resolve(call->target);
  if (call->is_over()) throw CallError(Failure::connect, "cancelled");
  // A little less, so that what the addresses said is told.
  co_await transport->connect(std::move(addresses), deadline - options.connect_timeout / 16);
  if (call->target.tls)
    co_await transport->secure(authorities_.context(options.ca_file), call->target.host);
  call->connect_deadline.cancel();
  co_return transport;
}

void HttpClient::Core::conclude(const Held& call, std::optional<Answer> answer) {
  HttpResponse& response = answer->response;
  const Field* const location = redirection(*call, response);
  const unsigned most = call->request.options.max_redirects;
  if (location == nullptr) {
    finish(call, std::move(response));
    return;
  }
  try {
    if (++call->redirects > most)
      throw CallError(Failure::limit, fmt::format("more than {} redirects (max_redirects)", most));
    follow(*call, response.status, location->value);
  } catch (const CallError& error) {
    fail(call, error.failure == Failure::request ? Failure::response : error.failure, error.what());
    return;
  }
  call->fresh_only = false;
  submit(call);
}

void HttpClient::Core::fail(const Held& call, Failure failure, std::string_view why) {
  finish(call, CallFailed{failure, fmt::format("{}: {}", call->said, why)});
}

void HttpClient::Core::fail_later(const Held& call, Failure failure, std::string why) {
  asio::post(context_, [self = weak_from_this(), call, failure, why = std::move(why)] {
    const auto core = self.lock();
    if (core && !call->is_over()) core->fail(call, failure, why);
  });
}

void HttpClient::Core::finish(const Held& call, CallResult result) {
  const CallDone done = std::exchange(call->done, {});
  cancel(call->id);
  if (done) done(std::move(result));
}

bool HttpClient::Core::cancel(CallId id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  const Held call = found->second;
  calls_.erase(found);
  // Destroyed last: it may begin or cancel others.
  const CallDone dropped = std::exchange(call->done, {});
  call->deadline.cancel();
  call->connect_deadline.cancel();
  call->resumed.cancel();
  if (call->transport) call->transport->close();
  const auto origin = origins_.find(call->origin);
  if (origin != origins_.end()) std::erase(origin->second.queue, call);
  return true;
}

bool HttpClient::Core::pause(CallId id, bool paused) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  const Held call = found->second;
  call->paused = paused;
  if (paused) return true;
  call->resumed.cancel();
  if (call->has_begun) set_deadline(call);
  return true;
}

void HttpClient::Core::clear() {
  while (!calls_.empty()) cancel(calls_.begin()->first);
  for (auto& [name, origin] : origins_) {
    for (Idle& idle : origin.idle) idle.transport->close();
    idle_ -= origin.idle.size();
    origin.idle.clear();
  }
}

void HttpClient::Core::release_slot(const std::string& name) {
  const auto found = origins_.find(name);
  Origin& origin = found->second;
  if (origin.queue.empty()) {
    --origin.active;
    forget_if_unused(name);
    return;
  }
  const Held next = std::move(origin.queue.front());
  origin.queue.pop_front();
  launch(next);
}

void HttpClient::Core::forget_if_unused(const std::string& name) {
  const auto found = origins_.find(name);
  if (found == origins_.end()) return;
  const Origin& origin = found->second;
  if (origin.active == 0 && origin.idle.empty() && origin.queue.empty()) origins_.erase(found);
}

void HttpClient::Core::keep(const std::string& name, std::shared_ptr<Transport> transport) {
  Origin& origin = origins_[name];
  if (origin.idle.size() >= limits_.max_idle || idle_ >= limits_.max_idle_in_all ||
      !transport->is_quiet()) {
    transport->close();
    return;
  }
  const Transport* const key = transport.get();
  Idle& idle = origin.idle.emplace_back(context_, std::move(transport));
  ++idle_;
  const auto drop = [self = weak_from_this(), name, key] {
    if (const auto core = self.lock()) core->drop_idle(name, key);
  };
  idle.transport->watch(drop);
  idle.timer.expires_after(limits_.idle_timeout);
  // Queued already when it is cancelled, it finds no idle connection of that key, or one that was
  // idle a moment ago: no harm.
  idle.timer.async_wait([drop](const error_code& error) {
    if (!error) drop();
  });
}

std::shared_ptr<Transport> HttpClient::Core::take_idle(const std::string& name) {
  Origin& origin = origins_[name];
  while (!origin.idle.empty()) {
    auto transport = origin.idle.back().transport;
    origin.idle.pop_back();
    --idle_;
    transport->stop_watching();
    if (transport->is_quiet()) return transport;
    transport->close();
  }
  return nullptr;
}

void HttpClient::Core::drop_idle(const std::string& name, const Transport* transport) {
  const auto found = origins_.find(name);
  if (found == origins_.end()) return;
  auto& idle = found->second.idle;
  const auto at = std::ranges::find_if(
      idle, [&](const Idle& each) { return each.transport.get() == transport; });
  if (at == idle.end()) return;
  at->transport->close();
  idle.erase(at);
  --idle_;
  forget_if_unused(name);
}

HttpClient::HttpClient(asio::io_context& context, const HttpPoolLimits& limits)
    : core_(std::make_shared<Core>(context, limits)) {}
HttpClient::~HttpClient() { core_->clear(); }

HttpClient::CallId HttpClient::start(HttpRequest request, CallDone done) {
  return core_->start(std::move(request), std::nullopt, std::move(done));
}
HttpClient::CallId HttpClient::stream(HttpRequest request, HttpPieces pieces, CallDone done) {
  return core_->start(std::move(request), std::move(pieces), std::move(done));
}
bool HttpClient::pause(CallId call, bool paused) { return core_->pause(call, paused); }
bool HttpClient::cancel(CallId call) { return core_->cancel(call); }
void HttpClient::clear() { core_->clear(); }
std::size_t HttpClient::calls() const { return core_->calls(); }
std::size_t HttpClient::idle_connections() const { return core_->idle(); }

}  // namespace appserver::net::client
