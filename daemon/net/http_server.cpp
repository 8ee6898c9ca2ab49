#include "net/http_server.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "net/http_connection.hpp"

namespace appserver::net {
namespace {

// What one read takes at most: enough for a batch of pipelined requests, little enough that what is
// left of it fits into one message to a successor.
constexpr std::size_t kScratch = std::size_t{64} << 10;

}  // namespace

HttpServer::HttpServer(boost::asio::io_context& context, const HttpLimits& limits,
                       RequestHandler& handler, telemetry::WorkerPage& page)
    : context_(context),
      limits_(limits),
      handler_(handler),
      page_(page),
      date_(std::chrono::system_clock::now()),
      reader_(std::make_unique<http::RequestReader>(limits.request)),
      scratch_(kScratch) {}

HttpServer::~HttpServer() = default;

void HttpServer::serve(os::Fd connection, std::string received) {
  std::uint32_t index = 0;
  if (free_.empty()) {
    // The socket closes with `connection`: max_connections is far below this bound.
    if (connections_.size() >= (std::size_t{1} << kIndexBits)) return;
    index = static_cast<std::uint32_t>(connections_.size());
    connections_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  connections_[index] =
      std::make_unique<HttpConnection>(*this, index, std::move(connection), std::move(received));
  ++count_;
  page_.connections.set(count_);
  connections_[index]->begin();
}

void HttpServer::tick() {
  date_.refresh(std::chrono::system_clock::now());
  wheel_.tick();
}

HttpConnection* HttpServer::find(appserver_exchange exchange) {
  const std::size_t index = exchange & ((appserver_exchange{1} << kIndexBits) - 1);
  if (exchange == 0 || index >= connections_.size() || !connections_[index]) return nullptr;
  HttpConnection& connection = *connections_[index];
  return connection.exchange() == exchange ? &connection : nullptr;
}

appserver_exchange HttpServer::next_exchange(std::uint32_t index) {
  return (++exchanges_ << kIndexBits) | index;
}

void HttpServer::schedule(HttpConnection& connection) {
  if (std::exchange(connection.scheduled_, true)) return;
  scheduled_.push_back(&connection);
  if (!std::exchange(run_posted_, true)) boost::asio::post(context_, [this] { run_scheduled(); });
}

void HttpServer::run_scheduled() {
  run_posted_ = false;
  const std::vector<HttpConnection*> batch = std::exchange(scheduled_, {});
  for (HttpConnection* connection : batch) {
    connection->scheduled_ = false;
    connection->run_scheduled();
  }
}

void HttpServer::remove(std::uint32_t index) {
  connections_[index].reset();
  free_.push_back(index);
}

void HttpServer::connection_ended() {
  --count_;
  page_.connections.set(count_);
  if (on_fewer_) on_fewer_();
}

void HttpServer::hand_over(Sink sink) {
  sink_ = std::move(sink);
  // A sink that finds the successor gone turns this into a polite drain, and serves again what it
  // was given.
  for (std::size_t index = 0; sink_ && index < connections_.size(); ++index) {
    HttpConnection* connection = connections_[index].get();
    if (connection == nullptr || connection->closed_ || connection->busy() ||
        connection->scheduled_ || connection->lingering_ || connection->close_when_sent_) {
      continue;
    }
    connection->move_to_successor();
    connection->settle();
  }
}

void HttpServer::drain_politely() {
  polite_drain_ = true;
  sink_ = nullptr;
  for (const auto& connection : connections_) {
    if (connection && !connection->closed_ && !connection->busy() && !connection->lingering_) {
      connection->set_timeout();
    }
  }
}

std::size_t HttpServer::cut() {
  std::size_t busy = 0;
  for (std::size_t index = 0; index < connections_.size(); ++index) {
    HttpConnection* connection = connections_[index].get();
    if (connection == nullptr || connection->closed_) continue;
    if (connection->busy()) ++busy;
    connection->close();
    connection->settle();
  }
  return busy;
}

std::int32_t HttpServer::respond(appserver_exchange exchange,
                                 const appserver_http_response& response) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->respond(response);
}

std::int32_t HttpServer::defer(appserver_exchange exchange) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->defer();
}

std::int32_t HttpServer::start(appserver_exchange exchange, const appserver_http_response& response,
                               std::int64_t content_length) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->start(response, content_length);
}

std::int32_t HttpServer::write(appserver_exchange exchange, std::string_view piece) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->write(piece);
}

std::int32_t HttpServer::write_promised(appserver_exchange exchange, std::string_view piece) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->write_promised(piece);
}

std::size_t HttpServer::unsent(appserver_exchange exchange) {
  const HttpConnection* connection = find(exchange);
  return connection == nullptr ? 0 : connection->pending_output();
}

std::int32_t HttpServer::finish(appserver_exchange exchange) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->finish();
}

std::int32_t HttpServer::abort(appserver_exchange exchange) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->abort();
}

std::int32_t HttpServer::alive(appserver_exchange exchange) {
  return find(exchange) == nullptr ? APPSERVER_GONE : APPSERVER_OK;
}

bool HttpServer::is_head(appserver_exchange exchange) {
  const HttpConnection* connection = find(exchange);
  return connection != nullptr && connection->is_head();
}

std::int32_t HttpServer::fail(appserver_exchange exchange) {
  HttpConnection* connection = find(exchange);
  return connection == nullptr ? APPSERVER_GONE : connection->fail();
}

}  // namespace appserver::net
