// An HTTP client on a loop of its own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "loop.hpp"
#include "net/client/http_client.hpp"

namespace appserver::test {

struct Calling {
  explicit Calling(const net::client::HttpPoolLimits& limits = {}) : client(context, limits) {
    std::signal(SIGPIPE, SIG_IGN);
  }

  struct Pending {
    std::optional<net::client::CallResult> result{};
    int calls = 0;
  };

  net::client::HttpClient::CallId start(const net::client::HttpRequest& request, Pending& pending) {
    return client.start(request, [&pending](net::client::CallResult result) {
      pending.result = std::move(result);
      ++pending.calls;
    });
  }
  bool until_done(const Pending& pending) {
    return run_until(context, [&] { return pending.result.has_value(); });
  }

  net::client::CallResult call(const net::client::HttpRequest& request) {
    Pending pending;
    start(request, pending);
    if (!until_done(pending)) return net::client::CallFailed{{}, "the test's own deadline"};
    return *pending.result;
  }
  net::client::CallResult get(const std::string& url) {
    net::client::HttpRequest request;
    request.url = url;
    return call(request);
  }

  boost::asio::io_context context{1};
  net::client::HttpClient client;
};

// "200 body", or the words of the failure.
inline std::string told(const net::client::CallResult& result) {
  if (const auto* const failed = std::get_if<net::client::CallFailed>(&result)) return failed->why;
  const auto& response = std::get<net::client::HttpResponse>(result);
  return std::to_string(response.status) + " " + response.body;
}

// Failure(0) where it is an answer.
inline net::client::Failure failure(const net::client::CallResult& result) {
  const auto* const failed = std::get_if<net::client::CallFailed>(&result);
  return failed == nullptr ? net::client::Failure{} : failed->failure;
}

}  // namespace appserver::test
