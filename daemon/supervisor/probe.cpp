#include "supervisor/probe.hpp"

#include <fmt/format.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <utility>

namespace appserver::supervisor {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kMaxAnswer = std::size_t{1} << 20;

struct Probe : std::enable_shared_from_this<Probe> {
  Probe(boost::asio::io_context& context, os::Fd socket, std::string probe_path,
        std::function<void(bool, const std::string&)> call)
      : stream(context), path(std::move(probe_path)), done(std::move(call)) {
    stream.socket().assign(boost::asio::local::stream_protocol(), socket.release());
  }

  void run(std::chrono::milliseconds timeout) {
    stream.expires_after(timeout);
    request.method(http::verb::get);
    request.target(path);
    request.version(11);
    request.set(http::field::host, "probe.appserver.internal");
    request.set(http::field::user_agent, "appserverd-probe");
    request.set(http::field::connection, "close");
    parser.body_limit(kMaxAnswer);
    http::async_write(stream, request,
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        if (error) {
                          self->finish(false, error.message());
                        } else {
                          self->read();
                        }
                      });
  }

  void read() {
    http::async_read(
        stream, buffer, parser, [self = shared_from_this()](const error_code& error, std::size_t) {
          if (error) {
            self->finish(false, fmt::format("GET {}: {}", self->path, error.message()));
            return;
          }
          const unsigned status = self->parser.get().result_int();
          self->finish(status >= 200 && status < 400,
                       fmt::format("GET {} answered {}", self->path, status));
        });
  }

  void finish(bool passed, const std::string& why) { std::exchange(done, nullptr)(passed, why); }

  beast::basic_stream<boost::asio::local::stream_protocol> stream;
  beast::flat_buffer buffer{kMaxAnswer};
  http::request<http::empty_body> request;
  http::response_parser<http::string_body> parser;
  std::string path;
  std::function<void(bool, const std::string&)> done;
};

}  // namespace

void probe_http(boost::asio::io_context& context, os::Fd socket, const std::string& path,
                std::chrono::milliseconds timeout,
                std::function<void(bool, const std::string&)> done) {
  std::make_shared<Probe>(context, std::move(socket), path, std::move(done))->run(timeout);
}

}  // namespace appserver::supervisor
