#include "control/client.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/serialize.hpp>

#include "os/error.hpp"

namespace appserver::control {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxAnswer = 64u << 20;
constexpr std::size_t kMaxLine = 1u << 20;

// One connection and one exchange.
class Exchange {
 public:
  Exchange(const std::filesystem::path& path, Timeout timeout, int interrupt)
      : path_(path), socket_(context_), interrupt_(context_) {
    if (timeout) deadline_ = Clock::now() + *timeout;
    if (interrupt >= 0) watch_for_interrupt(interrupt);
    connect();
  }

  int fd() { return socket_.native_handle(); }

  void send(http::verb verb, std::string_view target, const std::string& body) {
    http::request<http::string_body> request(verb, {target.data(), target.size()}, 11);
    request.set(http::field::host, "appserverd");
    request.set(http::field::user_agent, "appserverctl");
    if (verb == http::verb::post) {
      request.set(http::field::content_type, "application/json");
      request.body() = body;
      request.prepare_payload();
    }
    // A daemon that refuses early answers and closes before it has read everything: its answer says
    // more than our error.
    wait([&](auto done) { http::async_write(socket_, request, done); });
    parser_.body_limit(kMaxAnswer);
    if (const auto error =
            wait([&](auto done) { http::async_read_header(socket_, buffer_, parser_, done); })) {
      throw LostConnection(fmt::format("{}: no answer: {}", path_.native(), error.message()));
    }
  }

  bool succeeded() const { return parser_.get().result_int() / 100 == 2; }

  std::string read_all() {
    if (const auto error =
            wait([&](auto done) { http::async_read(socket_, buffer_, parser_, done); })) {
      throw LostConnection(
          fmt::format("{}: the answer broke off: {}", path_.native(), error.message()));
    }
    return std::move(parser_.get().body());
  }

  void read_lines(const OnLine& on_line) {
    parser_.body_limit(boost::none);
    std::string& body = parser_.get().body();
    while (!parser_.is_done()) {
      if (!give_lines(body, on_line)) return;
      if (body.size() > kMaxLine)
        throw LostConnection(fmt::format("{}: an endless line", path_.native()));
      const auto error =
          wait([&](auto done) { http::async_read_some(socket_, buffer_, parser_, done); });
      if (error && !parser_.is_done()) {
        give_lines(body, on_line);
        throw LostConnection(
            fmt::format("{}: the answer broke off: {}", path_.native(), error.message()));
      }
    }
    give_lines(body, on_line);
  }

  [[noreturn]] void throw_refusal() {
    const unsigned status = parser_.get().result_int();
    const std::string body = read_all();
    try {
      throw Refused(status, error_from_json(parse_json(body)));
    } catch (const BadJson&) {
      throw Refused(
          status, {fmt::format("HTTP status {}", status), "is this the socket of an appserverd?"});
    }
  }

 private:
  void connect() {
    beast::error_code error;
    try {
      const asio::local::stream_protocol::endpoint endpoint(path_.native());
      error = wait([&](auto done) {
        socket_.async_connect(endpoint,
                              [done](beast::error_code result) mutable { done(result, 0); });
      });
    } catch (const boost::system::system_error& failure) {
      error = failure.code();  // a path longer than a socket's may be
    }
    if (!error) return;
    const std::string& path = path_.native();
    switch (error.value()) {
      case ENOENT:
        throw NoDaemon(fmt::format("{}: no such socket", path));
      case ENOTDIR:
      case ENOTSOCK:
        throw NoDaemon(fmt::format("{}: not a socket", path));
      case ECONNREFUSED:
        throw NoDaemon(fmt::format("{}: nobody listens on it", path));
      case EAGAIN:
        throw LostConnection(fmt::format("{}: the daemon does not accept", path));
      default:
        os::throw_system_error(error.value(), fmt::format("connect(\"{}\")", path));
    }
  }

  // A copy, as Asio closes what it is given.
  void watch_for_interrupt(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    os::check(copy, "fcntl({}, F_DUPFD_CLOEXEC)", fd);
    interrupt_.assign(copy);
    interrupt_.async_wait(asio::posix::stream_descriptor::wait_read,
                          [this](beast::error_code error) { interrupted_ = !error; });
  }

  // Runs one asynchronous operation to its end; throws TimedOut if the deadline comes first.
  template <typename Start>
  beast::error_code wait(Start&& start) {
    std::optional<beast::error_code> result;
    start([&result](beast::error_code error, std::size_t) { result = error; });
    context_.restart();
    while (!result && !interrupted_) {
      const std::size_t ran = deadline_ ? context_.run_one_until(*deadline_) : context_.run_one();
      if (ran == 0) break;
    }
    if (result) return *result;
    // The operation refers to this frame: it must end before we leave.
    beast::error_code ignored;
    socket_.close(ignored);
    interrupt_.close(ignored);
    const bool interrupted = interrupted_;
    context_.restart();
    context_.run();
    if (interrupted) throw Interrupted(fmt::format("{}: interrupted", path_.native()));
    throw TimedOut(fmt::format("{}: no answer in time", path_.native()));
  }

  static bool give_lines(std::string& body, const OnLine& on_line) {
    std::size_t begin = 0;
    bool more = true;
    for (std::size_t end; more && (end = body.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      if (end > begin) more = on_line(std::string_view(body).substr(begin, end - begin));
    }
    body.erase(0, begin);
    return more;
  }

  const std::filesystem::path& path_;
  std::optional<Clock::time_point> deadline_;
  asio::io_context context_{1};
  asio::local::stream_protocol::socket socket_;
  asio::posix::stream_descriptor interrupt_;
  bool interrupted_ = false;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
};

}  // namespace

Refused::Refused(unsigned http_status, const ErrorReply& reply)
    : std::runtime_error(reply.hint.empty() ? reply.error
                                            : fmt::format("{}; {}", reply.error, reply.hint)),
      http_status_(http_status) {}

std::string Client::get(std::string_view target, Timeout timeout) const {
  Exchange exchange(socket_, timeout, interrupt_);
  exchange.send(http::verb::get, target, {});
  if (!exchange.succeeded()) exchange.throw_refusal();
  return exchange.read_all();
}

std::string Client::post(std::string_view target, const boost::json::value& body,
                         Timeout timeout) const {
  Exchange exchange(socket_, timeout, interrupt_);
  exchange.send(http::verb::post, target, boost::json::serialize(body));
  if (!exchange.succeeded()) exchange.throw_refusal();
  return exchange.read_all();
}

void Client::watch(std::string_view target, Timeout timeout, const OnLine& on_line) const {
  Exchange exchange(socket_, timeout, interrupt_);
  exchange.send(http::verb::get, target, {});
  if (!exchange.succeeded()) exchange.throw_refusal();
  exchange.read_lines(on_line);
}

void Client::stream(std::string_view target, const boost::json::value& body, Timeout timeout,
                    const OnLine& on_line) const {
  Exchange exchange(socket_, timeout, interrupt_);
  exchange.send(http::verb::post, target, boost::json::serialize(body));
  if (!exchange.succeeded()) exchange.throw_refusal();
  exchange.read_lines(on_line);
}

Credentials Client::daemon() const {
  Exchange exchange(socket_, std::chrono::milliseconds(1000), interrupt_);
  return peer_credentials(exchange.fd());
}

}  // namespace appserver::control
