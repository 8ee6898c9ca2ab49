// Outbound HTTP/1.1 calls of a worker: kept connections, deadlines, one result each.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "net/client/http_call.hpp"

namespace appserver::net::client {

struct HttpPoolLimits {
  std::size_t max_connections = 64;  // per origin; calls beyond wait in a queue
  std::size_t max_queue = 1024;      // per origin
  std::size_t max_idle = 8;          // per origin
  std::size_t max_idle_in_all = 256;
  std::size_t max_calls = 10'000;
  milliseconds idle_timeout{30'000};
};

// Loop thread only. When it goes, what is under way ends without a call.
class HttpClient final {
 public:
  using CallId = std::uint64_t;  // 0 is none; never reused

  explicit HttpClient(boost::asio::io_context& context, const HttpPoolLimits& limits = {});
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  // `done` is called once, later, whatever becomes of it. It may begin and cancel calls, but not
  // destroy the client. A connection that was kept and ended before the first byte of the answer
  // costs an idempotent request one more try, others fail.
  CallId start(HttpRequest request, CallDone done);
  // The same, but the body goes to `pieces` as it arrives, and not to `done`, which then tells that
  // it is whole, or why it is not. No more than 64 KiB of it are held, and max_body does not bound
  // it. The timeout is that of the head, and then of each further piece. Answers that redirect to
  // where the call goes on are not told.
  CallId stream(HttpRequest request, HttpPieces pieces, CallDone done);
  // Of such a call: neither on_data nor `done` is called meanwhile, and no more is read than what
  // was on its way. False: it is over.
  bool pause(CallId call, bool paused);
  // `done` is not called any more, but destroyed. False: it is over.
  bool cancel(CallId call);
  // Cancels all, and closes kept connections.
  void clear();

  std::size_t calls() const;
  std::size_t idle_connections() const;

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace appserver::net::client
