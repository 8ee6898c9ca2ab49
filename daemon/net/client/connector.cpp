#include "net/client/connector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <utility>

#include "net/client/connect_target.hpp"
#include "net/client/transport.hpp"

namespace appserver::net::client {

namespace asio = boost::asio;
using boost::system::error_code;

// One start(): an attempt, a connection or a delay at a time. Held by its connection, too.
class Connector::Link final : public StreamHandler, public std::enable_shared_from_this<Link> {
 public:
  Link(Connector& owner, ConnectId id, std::string url, ConnectOptions options,
       std::shared_ptr<ConnectEvents> events)
      : owner_(&owner),
        id_(id),
        url_(std::move(url)),
        options_(std::move(options)),
        events_(std::move(events)),
        timer_(owner.context_) {}

  void begin();
  // Nothing is called any more.
  void end();
  bool is_open() const { return connection_ != 0; }
  appserver_connection connection() const { return connection_; }

  bool on_connect(appserver_connection connection) override;
  Outcome on_message(appserver_connection connection, std::uint32_t kind,
                     std::string_view message) override;
  void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                std::string_view text) override;
  void on_buffer_full(appserver_connection connection) override;
  void on_buffer_drain(appserver_connection connection) override;
  // Of connections that clients have opened:
  WebSocketAnswer on_websocket_open(appserver_connection, const appserver_http_request&) override {
    return {500, {}, {}};
  }
  std::optional<std::string> on_handover(appserver_connection) override { return std::nullopt; }
  bool on_adopt(appserver_connection, std::string_view) override { return false; }
  bool has_own_framing() const override { return false; }
  std::optional<std::uint64_t> measure(appserver_connection, std::string_view) override {
    return std::nullopt;
  }

 private:
  void check();
  // `attempt`: which one it is. It may be over before its coroutine is.
  static Work<> run(std::shared_ptr<Link> self, std::uint64_t attempt);
  static Work<> open(std::shared_ptr<Link> self, std::uint64_t attempt);
  bool is_at(std::uint64_t attempt) const { return owner_ != nullptr && attempt == attempt_; }
  void failed(Failure failure, const std::string& why);
  void attach(Transport& transport, Upgraded upgraded);
  // Until the next attempt, which is set up; nullopt: this is over.
  std::optional<milliseconds> go_on(bool may);

  Connector* owner_;  // null once it is over
  const ConnectId id_;
  const std::string url_;
  const ConnectOptions options_;
  std::shared_ptr<ConnectEvents> events_;
  asio::steady_timer timer_;  // of the attempt, or the delay
  std::optional<ConnectTarget> target_;
  std::shared_ptr<const StreamListener> origin_;
  std::shared_ptr<Transport> transport_;
  std::uint64_t attempt_ = 0;
  std::uint32_t retried_ = 0;  // in a row
  appserver_connection connection_ = 0;
  Clock::time_point opened_at_{};
  bool hook_failed_ = false;  // ... and that is why the connection ends
};

void Connector::Link::check() {
  if (target_) return;
  ConnectTarget target = parse_connect_target(url_);
  const WebSocketWish& wish = options_.websocket;
  check_wish(wish);
  if (!target.is_websocket() && !(wish.fields.empty() && wish.subprotocols.empty())) {
    throw CallError(Failure::request, "headers and subprotocols are for ws:// and wss:// only");
  }
  StreamListener origin;
  origin.text = url_;
  origin.protocol = target.protocol;
  origin.framing = target.framing;
  origin_ = std::make_shared<const StreamListener>(std::move(origin));
  target_ = std::move(target);
}

void Connector::Link::begin() {
  asio::co_spawn(owner_->context_.get_executor(), run(shared_from_this(), ++attempt_),
                 [](const std::exception_ptr& error) {
                   if (error) std::rethrow_exception(error);
                 });
}

Work<> Connector::Link::run(std::shared_ptr<Link> self, std::uint64_t attempt) {
  // Not within start().
  co_await asio::post(asio::use_awaitable_t<Executor>{});
  std::optional<CallError> error;
  try {
    if (self->is_at(attempt)) co_await open(self, attempt);
  } catch (const CallError& failure) {
    error = failure;
  } catch (const std::exception& failure) {
    error = CallError(Failure::connect, failure.what());
  }
  if (error && self->is_at(attempt)) self->failed(error->failure, error->what());
}

Work<> Connector::Link::open(std::shared_ptr<Link> self, std::uint64_t attempt) {
  self->check();
  asio::io_context& context = self->owner_->context_;
  const auto transport = std::make_shared<Transport>(context);
  self->transport_ = transport;
  const auto deadline = Clock::now() + self->options_.connect_timeout;
  self->timer_.expires_at(deadline);
  // At once, though a look-up may go on for long.
  self->timer_.async_wait([self, attempt](const error_code& stopped) {
    if (stopped || !self->is_at(attempt)) return;
    self->failed(Failure::timeout, fmt::format("not connected within {} ms (connect_timeout)",
                                               self->options_.connect_timeout.count()));
  });
  const Target& target = self->target_->target;
  auto addresses = co_await transport->resolve(target);
  if (!self->is_at(attempt)) co_return;
  // A little less, so that what the addresses said is told.
  co_await transport->connect(std::move(addresses), deadline - self->options_.connect_timeout / 16);
  if (!self->is_at(attempt)) co_return;
  const bool websocket = self->target_->is_websocket();
  if (target.tls) {
    auto trusted =
        self->owner_->authorities_.context(self->options_.ca_file, websocket ? "http/1.1" : "");
    co_await transport->secure(std::move(trusted), target.host);
  }
  Upgraded upgraded;
  if (websocket) upgraded = co_await open_websocket(*transport, target, self->options_.websocket);
  if (self->is_at(attempt)) self->attach(*transport, std::move(upgraded));
}

void Connector::Link::attach(Transport& transport, Upgraded upgraded) {
  ++attempt_;
  timer_.cancel();
  const auto keep = std::exchange(transport_, nullptr);
  Transport::Released released = transport.release();
  Handed opened;
  opened.connection = std::move(released.socket);
  opened.tls = std::move(released.tls);
  opened.received = std::move(upgraded.received);
  opened.subprotocol = std::move(upgraded.subprotocol);
  opened.kind = target_->is_websocket() ? Handed::Kind::websocket : Handed::Kind::stream;
  if (!owner_->streams_.attach(std::move(opened), origin_, shared_from_this()))
    failed(Failure::limit, "this worker has as many connections as it can have");
}

void Connector::Link::failed(Failure failure, const std::string& why) {
  ++attempt_;
  timer_.cancel();
  if (const auto transport = std::exchange(transport_, nullptr)) transport->close();
  // The URL may hold what no log should.
  const std::string shown =
      url_.find('@') == std::string::npos ? url_.substr(0, 256) : "an outbound connection";
  const auto events = events_;
  const auto again = go_on(failure != Failure::request);
  events->on_failed(failure, fmt::format("{}: {}", shown, why), again);
}

std::optional<milliseconds> Connector::Link::go_on(bool may) {
  if (!may || owner_->stopped_ ||
      (options_.retries != ConnectOptions::kForever && retried_ >= options_.retries)) {
    const auto self = shared_from_this();
    owner_->links_.erase(id_);
    end();
    return std::nullopt;
  }
  constexpr unsigned kMostDoublings = 20;
  const auto least = std::max(options_.min_delay, kLeastDelay);
  const auto grown = least * (std::int64_t{2} << std::min(retried_, kMostDoublings));
  const auto most = std::clamp(grown, least, std::max(options_.max_delay, least));
  std::uniform_int_distribution<milliseconds::rep> any(least.count(), most.count());
  const milliseconds delay(any(owner_->random_));
  if (retried_ < ConnectOptions::kForever - 1) ++retried_;
  timer_.expires_after(delay);
  timer_.async_wait([self = shared_from_this(), attempt = attempt_](const error_code& stopped) {
    if (!stopped && self->is_at(attempt)) self->begin();
  });
  return delay;
}

void Connector::Link::end() {
  if (owner_ != nullptr && is_open()) --owner_->open_;
  owner_ = nullptr;
  ++attempt_;
  timer_.cancel();
  if (const auto transport = std::exchange(transport_, nullptr)) transport->close();
  // Destroyed last: it may begin or cancel others.
  const auto events = std::exchange(events_, nullptr);
}

bool Connector::Link::on_connect(appserver_connection connection) {
  connection_ = connection;
  if (owner_ != nullptr) ++owner_->open_;
  opened_at_ = Clock::now();
  hook_failed_ = false;
  const auto events = events_;
  if (events && !events->on_open(connection) && owner_ != nullptr) {
    hook_failed_ = true;
    owner_->streams_.abort(connection);
  }
  return true;
}

StreamHandler::Outcome Connector::Link::on_message(appserver_connection connection,
                                                   std::uint32_t kind, std::string_view message) {
  const auto events = events_;
  if (!events) return Outcome::good;
  const Outcome outcome = events->on_message(connection, kind, message);
  if (outcome == Outcome::fatal) hook_failed_ = true;
  return outcome;
}

void Connector::Link::on_close(appserver_connection connection, std::uint32_t reason,
                               std::uint32_t code, std::string_view text) {
  connection_ = 0;
  if (owner_ != nullptr) --owner_->open_;
  const auto events = events_;
  if (!events) return;
  if (Clock::now() - opened_at_ >= kStable) retried_ = 0;
  const bool wanted =
      (reason == APPSERVER_CLOSED_BY_PLUGIN && !hook_failed_) || reason == APPSERVER_CLOSED_DRAINED;
  const auto again = go_on(!wanted);
  events->on_close(connection, {reason, code, text, again});
}

void Connector::Link::on_buffer_full(appserver_connection connection) {
  if (const auto events = events_) events->on_buffer_full(connection);
}

void Connector::Link::on_buffer_drain(appserver_connection connection) {
  if (const auto events = events_) events->on_buffer_drain(connection);
}

Connector::Connector(asio::io_context& context, StreamServer& streams, std::size_t most)
    : context_(context), streams_(streams), random_(std::random_device{}()), most_(most) {}

Connector::~Connector() {
  for (auto& [id, link] : std::exchange(links_, {})) link->end();
}

// A connection whose link is gone lasts until its peer has taken what waits.
std::size_t Connector::in_use() const { return links_.size() - open_ + streams_.outbound(); }

Connector::ConnectId Connector::start(std::string url, ConnectOptions options,
                                      std::shared_ptr<ConnectEvents> events) {
  if (stopped_ || in_use() >= most_) return 0;
  const ConnectId id = ++last_;
  const auto link =
      std::make_shared<Link>(*this, id, std::move(url), std::move(options), std::move(events));
  links_.emplace(id, link);
  link->begin();
  return id;
}

bool Connector::cancel(ConnectId id) {
  const auto found = links_.find(id);
  if (found == links_.end()) return false;
  const std::shared_ptr<Link> link = found->second;
  links_.erase(found);
  if (link->is_open()) streams_.close(link->connection(), 0, {});
  link->end();
  return true;
}

void Connector::stop() {
  stopped_ = true;
  std::vector<ConnectId> waiting;
  for (const auto& [id, link] : links_) {
    if (!link->is_open()) waiting.push_back(id);
  }
  for (const ConnectId id : waiting) cancel(id);
}

}  // namespace appserver::net::client
