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
