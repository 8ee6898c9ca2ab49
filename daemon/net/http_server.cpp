#include "net/http_server.hpp"

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
      scratch_(kScratch),
      table_(context) {}

HttpServer::~HttpServer() = default;

void HttpServer::serve(os::Fd connection, std::string received,
                       std::shared_ptr<const StreamListener> listener,
                       std::unique_ptr<tls::Session> tls, Ends ends) {
  // The socket closes with `connection`: max_connections is far below this bound.
  if (table_.is_full()) return;
  HttpConnection& made = table_.add([&](std::uint32_t index) {
    return std::make_unique<HttpConnection>(*this, index, std::move(connection),
                                            std::move(received), std::move(listener),
                                            std::move(tls), std::move(ends));
  });
  page_.connections.add();
  made.begin();
}

void HttpServer::tick() {
  date_.refresh(std::chrono::system_clock::now());
  wheel_.tick();
}

HttpConnection* HttpServer::find(appserver_exchange exchange) {
  HttpConnection* const connection = exchange == 0 ? nullptr : table_.at(exchange);
  return connection != nullptr && connection->exchange() == exchange ? connection : nullptr;
}

void HttpServer::connection_ended() {
  table_.ended();
  page_.connections.subtract();
  if (on_fewer_) on_fewer_();
}

void HttpServer::hand_over(Sink sink) {
  sink_ = std::move(sink);
  table_.each([this](HttpConnection& connection) {
    // A sink that finds the successor gone turns this into a polite drain, and serves again what it
    // was given.
    if (!sink_ || connection.busy() || connection.is_scheduled() || connection.lingering_ ||
        connection.close_when_sent_) {
      return;
    }
    if (!connection.moves()) {
      connection.set_timeout();
      return;
    }
    connection.move_to_successor();
    connection.settle();
  });
}

void HttpServer::drain_politely() {
  polite_drain_ = true;
  sink_ = nullptr;
  table_.each([](HttpConnection& connection) {
    if (!connection.busy() && !connection.lingering_) connection.set_timeout();
  });
}

std::size_t HttpServer::cut() {
  std::size_t busy = 0;
  table_.each([&busy](HttpConnection& connection) {
    if (connection.busy()) ++busy;
    connection.close();
    connection.settle();
  });
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
  return connection == nullptr ? 0 : connection->unsent();
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
