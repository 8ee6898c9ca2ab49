// The HTTP side of a worker: all its connections and the requests on them.
#pragma once

#include <appserver/abi/http.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/connection_table.hpp"
#include "net/deflater.hpp"
#include "net/handed.hpp"
#include "net/http/request_reader.hpp"
#include "net/http/response_writer.hpp"
#include "net/stream_listener.hpp"
#include "net/timer_wheel.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::net {

using std::chrono::milliseconds;

struct HttpLimits {
  http::RequestLimits request;
  http::Compression compression;  // of answers
  milliseconds header_timeout{
      10'000};  // first byte to whole head; also the grace before the body's minimum rate counts
  milliseconds idle_timeout{
      75'000};  // between requests, and for a client that takes no bytes of its answer
};

// Gets each whole request. The views are valid during the call; an answer is given through
// HttpServer, then or later. No exception.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  virtual void on_request(appserver_exchange exchange, const appserver_http_request& request) = 0;
  // An exchange that outlived its on_request has its answer, or its connection is gone.
  virtual void on_exchange_end(appserver_exchange exchange) = 0;

  // Whether it wants to know, for exchanges that outlive their on_request, that nobody waits for
  // the answer any more: each is told once, from the loop, and lives on where the client has closed
  // its sending half only. The connection is watched for it.
  virtual bool wants_client_gone() const { return false; }
  virtual void on_client_gone(appserver_exchange exchange) { static_cast<void>(exchange); }
};

class HttpConnection;

// All members on the loop's thread.
class HttpServer final {
 public:
  // Bytes of answers waiting for a slow client before a connection takes no further request.
  static constexpr std::size_t kMaxPendingOutput = std::size_t{1} << 20;
  // The same of a streamed answer, beyond what the kernel has taken, before `write` says LIMIT:
  // what a client costs that does not read, together with the last piece.
  static constexpr std::size_t kMostStreamed = std::size_t{128} << 10;
  // How long a connection that we end may still deliver what the client has sent, so that the
  // answer is not lost to a reset.
  static constexpr milliseconds kLinger{1'000};

  // Of answers, compressed at a time: zlib needs up to some 10 ms for it. What is more goes on
  // while the loop's turn is not spent (TurnBudget), and then in turns of the connection's own,
  // between which the loop looks at its events.
  static constexpr std::size_t kPiece = std::size_t{16} << 10;
  static constexpr std::size_t kPieceAtHighLevels = std::size_t{1} << 10;  // from level 7 on
  // An answer given whole that is not larger is compressed under its own length, if the turn has
  // time for all of it; else it goes in chunks.
  static constexpr std::size_t kMostWhole = std::size_t{256} << 10;
  // Answers that are compressed in pieces at a time, each with a state of zlib's; further ones go
  // as they are.
  static constexpr std::size_t kMostCoders = 1024;

  HttpServer(boost::asio::io_context& context, const HttpLimits& limits, RequestHandler& handler,
             telemetry::WorkerPage& page);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Serves a connected, non-blocking stream socket. `received`: bytes that were read from it
  // already, by a predecessor. `listener`: where WebSockets may begin on it; null where they may
  // not. `tls`: of this socket, its handshake still to come; null without TLS. `ends`: see
  // Handed.
  void serve(os::Fd connection, std::string received = {},
             std::shared_ptr<const StreamListener> listener = nullptr,
             std::unique_ptr<tls::Session> tls = nullptr, Ends ends = {});

  // Called with each connection that becomes a WebSocket, by a request that is valid during the
  // call: `connection.received` is what came behind it, `unsent` holds answers to requests before
  // it. Must not destroy the server.
  using Upgraded = std::function<void(Handed connection, std::shared_ptr<const StreamListener>,
                                      const appserver_http_request&)>;
  void on_upgrade(Upgraded call) { on_upgrade_ = std::move(call); }

  std::size_t connections() const { return table_.count(); }
  // Called when a connection has ended or was handed over, from within its last turn: must not
  // destroy the server.
  void on_fewer(std::function<void()> call) { on_fewer_ = std::move(call); }

  // Called where a connection cannot be served that begins with a PROXY header; with its two ends.
  // Must not destroy the server.
  using ProxyHeader = std::function<void(std::string_view remote, std::string_view local)>;
  void on_proxy_header(ProxyHeader call) { on_proxy_header_ = std::move(call); }

  // To be called each TimerWheel::kTick.
  void tick();

  // From now on each connection goes to `sink` as soon as nothing is in flight on it, with the
  // bytes read ahead; one under TLS ends as drain_politely() says. The sink may call
  // drain_politely() and serve(): the handover is over then.
  using Sink = std::function<void(Handed connection)>;
  void hand_over(Sink sink);

  // From now on answers say `Connection: close`, and a connection without a request ends after
  // kLinger.
  void drain_politely();

  // Ends everything at once; gives the number of connections that had a request in flight or an
  // answer not fully sent.
  std::size_t cut();

  // Host side of "http/1"; see abi/http.h.
  std::int32_t respond(appserver_exchange exchange, const appserver_http_response& response);
  std::int32_t defer(appserver_exchange exchange);
  std::int32_t start(appserver_exchange exchange, const appserver_http_response& response,
                     std::int64_t content_length);
  // An empty piece tells whether there is room for another one.
  std::int32_t write(appserver_exchange exchange, std::string_view piece);
  // Never LIMIT: for pieces that were promised room by unsent().
  std::int32_t write_promised(appserver_exchange exchange, std::string_view piece);
  // Bytes that wait for the client of this exchange; 0 where it is gone.
  std::size_t unsent(appserver_exchange exchange);
  std::int32_t finish(appserver_exchange exchange);
  std::int32_t abort(appserver_exchange exchange);
  std::int32_t alive(appserver_exchange exchange);
  // Whether the request of an exchange that is not over was HEAD.
  bool is_head(appserver_exchange exchange);
  // The plugin failed: 500 where nothing of the answer is out yet, else the connection is cut.
  std::int32_t fail(appserver_exchange exchange);

  // In place of the processor's time, for tests.
  void measure_work_by(TurnBudget::Clock clock) { table_.budget().measure_by(std::move(clock)); }

 private:
  friend class HttpConnection;

  HttpConnection* find(appserver_exchange exchange);
  Deflater* gzip();  // null for want of memory
  std::size_t piece() const;
  void connection_ended();

  boost::asio::io_context& context_;
  HttpLimits limits_;
  RequestHandler& handler_;
  telemetry::WorkerPage& page_;
  TimerWheel wheel_;
  http::DateCache date_;
  std::unique_ptr<http::RequestReader>
      reader_;        // lent to a connection that is in the middle of a request
  std::string cork_;  // answers of the turn at hand
  std::optional<std::chrono::steady_clock::time_point> answered_at_;  // the last of them
  std::vector<char> scratch_;
  std::unique_ptr<Deflater> gzip_;  // of whole answers, from the first on
  std::string compressed_;          // what was compressed last
  std::size_t coders_ = 0;          // by BodyCoder::weight()
  ConnectionTable<HttpConnection> table_;
  std::function<void()> on_fewer_;
  ProxyHeader on_proxy_header_;
  Upgraded on_upgrade_;
  Sink sink_;
  bool polite_drain_ = false;
};

}  // namespace appserver::net
