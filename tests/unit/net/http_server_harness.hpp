// An HttpServer with a scripted handler, and clients at the other ends of its connections, all on
// one thread.
#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loop.hpp"
#include "net/http_server.hpp"
#include "os/error.hpp"
#include "os/message_socket.hpp"

namespace appserver::test {

inline std::string_view text(appserver_str str) { return {str.data, str.size}; }

inline appserver_http_response answer_of(std::string_view body, unsigned status = 200) {
  appserver_http_response response{};
  response.size = sizeof(response);
  response.status = status;
  response.body = {body.data(), body.size()};
  return response;
}

inline std::pair<os::Fd, os::Fd> tcp_pair() {
  const os::Fd listener(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  os::check(::bind(listener.get(), generic, length), "bind()");
  os::check(::listen(listener.get(), 1), "listen()");
  os::check(::getsockname(listener.get(), generic, &length), "getsockname()");
  os::Fd client(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
  os::check(::connect(client.get(), generic, length), "connect()");
  os::Fd served(os::check(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC),
                          "accept()"));
  os::set_nonblocking(client.get());
  return {std::move(served), std::move(client)};
}

class Client {
 public:
  explicit Client(os::Fd socket) : socket_(std::move(socket)) {}

  void send(std::string_view data) {
    const auto sent = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    REQUIRE(sent == static_cast<ssize_t>(data.size()));
  }

  // Reads what is there, at most once; each read of a SOCK_SEQPACKET socket is one write of the
  // server.
  bool read_once() {
    std::array<char, 65'536> buffer;
    const auto got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      received.append(buffer.data(), static_cast<std::size_t>(got));
      ++reads;
    } else if (got == 0) {
      closed = true;
    } else if (errno != EAGAIN) {
      reset = closed = true;
    }
    return got > 0;
  }

  void read_all() {
    while (!closed && read_once()) {
    }
  }

  // How many whole answers with a Content-Length have come; their bodies in `bodies`.
  std::size_t answers() {
    std::string_view rest = received;
    bodies.clear();
    for (;;) {
      const auto head_end = rest.find("\r\n\r\n");
      if (head_end == std::string_view::npos) break;
      const auto head = rest.substr(0, head_end + 2);
      constexpr std::string_view kLength = "Content-Length: ";
      const auto at = head.find(kLength);
      const std::size_t length =
          at == std::string_view::npos
              ? 0
              : std::stoul(std::string(head.substr(at + kLength.size(), 20)));
      if (rest.size() < head_end + 4 + length) break;
      bodies.emplace_back(rest.substr(head_end + 4, length));
      rest.remove_prefix(head_end + 4 + length);
    }
    return bodies.size();
  }

  bool got(std::string_view what) const { return received.find(what) != std::string::npos; }
  void shut_down_sending() { ::shutdown(socket_.get(), SHUT_WR); }
  void end() { socket_.reset(); }
  int fd() const { return socket_.get(); }

  std::string received;
  std::vector<std::string> bodies;
  int reads = 0;
  bool closed = false;
  bool reset = false;

 private:
  os::Fd socket_;
};

inline std::string get(std::string_view path, std::string_view more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: a\r\n{}\r\n", path, more);
}

inline std::string post(std::string_view path, std::string_view body, std::string_view more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a\r\n{}Content-Length: {}\r\n\r\n{}", path, more,
                     body.size(), body);
}

// Answers with the path, unless told otherwise; "/later" is deferred.
class Script final : public net::RequestHandler {
 public:
  using Call = std::function<void(appserver_exchange, const appserver_http_request&)>;

  void on_request(appserver_exchange exchange, const appserver_http_request& request) override {
    seen.push_back(exchange);
    requests.emplace_back(fmt::format("{}{}", text(request.path), text(request.body)));
    if (on) {
      on(exchange, request);
    } else if (text(request.path) == "/later") {
      server->defer(exchange);
    } else {
      server->respond(exchange, answer_of(requests.back()));
    }
  }
  void on_exchange_end(appserver_exchange exchange) override { ended.push_back(exchange); }
  bool wants_client_gone() const override { return watches; }
  void on_client_gone(appserver_exchange exchange) override {
    gone.push_back(exchange);
    if (on_gone) on_gone(exchange);
  }

  bool has_ended(appserver_exchange exchange) const {
    return std::ranges::count(ended, exchange) == 1;
  }

  net::HttpServer* server = nullptr;
  Call on;
  std::vector<appserver_exchange> seen;
  std::vector<std::string> requests;
  std::vector<appserver_exchange> ended;
  bool watches = false;
  std::function<void(appserver_exchange)> on_gone;
  std::vector<appserver_exchange> gone;
};

inline net::HttpLimits small_limits() {
  net::HttpLimits limits;
  limits.request.max_body = 1 << 20;
  limits.header_timeout = std::chrono::milliseconds(1'000);
  limits.idle_timeout = std::chrono::milliseconds(3'000);
  return limits;
}

struct Serving {
  explicit Serving(const net::HttpLimits& limits = small_limits())
      : server(context, limits, script, page) {
    script.server = &server;
  }

  Client connect(int type = SOCK_STREAM) {
    auto [served, client] = os::make_socket_pair(type);
    server.serve(std::move(served));
    return Client(std::move(client));
  }

  Client connect_tcp() {
    auto [served, client] = tcp_pair();
    server.serve(std::move(served));
    return Client(std::move(client));
  }

  template <typename State>
  bool until(State&& state) {
    return run_until(context, state);
  }

  bool has_seen(std::size_t requests) {
    return until([&] { return script.seen.size() >= requests; });
  }

  bool answered(Client& client, std::size_t answers) {
    return until([&] {
      client.read_all();
      return client.answers() >= answers;
    });
  }

  bool closes(Client& client) {
    return until([&] {
      client.read_all();
      return client.closed;
    });
  }

  // Time goes by, and what it causes happens.
  void pass(std::chrono::milliseconds time) {
    for (auto left = time; left.count() > 0; left -= net::TimerWheel::kTick) {
      server.tick();
      settle(context);
    }
  }

  boost::asio::io_context context{1};
  telemetry::WorkerPage page;
  Script script;
  net::HttpServer server;
};

}  // namespace appserver::test
