// Passes requests on to another server, and its answers back.
//   settings: {upstream: "http://127.0.0.1:9000", timeout_ms: 30000, ca_file: ""}
// The upstream may be https:// or, on this machine, "http://unix:/run/app.sock". Bodies of requests
// pass whole, limits.max_body bounds them; those of answers pass as they arrive, whatever their
// size, no faster than the client takes them: timeout_ms is for the head, and then for each further
// piece. The upstream learns from X-Forwarded-* how the request came; of X-Forwarded-For only the
// last one is this proxy's word.
//
// With an upstream of tcp:// or tls:// it is a tunnel for its tcp:// and tls:// listeners:
//   settings: {upstream: "tcp://127.0.0.1:5432", connect_timeout_ms: 5000}
// Bytes pass both ways, no faster than the other side takes them; the end of one direction goes
// along, and where one side is lost the other is closed.
#include <algorithm>
#include <appserver/plugin.hpp>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

using namespace appserver;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
// As CGI and its like name a field: many cannot tell "_" and "-".
char folded(char c) { return c == '_' ? '-' : lower(c); }

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// RFC 9110, section 7.6.1: those of one connection, those that each side sets itself, and "Proxy",
// which CGI would take for its own HTTP_PROXY.
bool is_kept_back(std::string_view name) {
  static constexpr std::array<std::string_view, 19> kNotPassed{"connection",
                                                               "content-length",
                                                               "date",
                                                               "expect",
                                                               "forwarded",
                                                               "host",
                                                               "keep-alive",
                                                               "proxy",
                                                               "proxy-authenticate",
                                                               "proxy-authorization",
                                                               "proxy-connection",
                                                               "te",
                                                               "trailer",
                                                               "transfer-encoding",
                                                               "upgrade",
                                                               "x-forwarded-for",
                                                               "x-forwarded-host",
                                                               "x-forwarded-proto",
                                                               "x-real-ip"};
  return std::ranges::any_of(kNotPassed, [&](std::string_view each) {
    return std::ranges::equal(each, name, {}, {}, folded);
  });
}

// What Connection names, all its fields being one list (RFC 9110, section 5.3).
class Connections {
 public:
  void add(std::string_view value) { list_.append(value).append(","); }
  bool name(std::string_view field) const {
    std::string_view rest = list_;
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      std::string_view named = rest.substr(0, comma);
      rest.remove_prefix(comma + 1);
      while (named.starts_with(' ') || named.starts_with('\t')) named.remove_prefix(1);
      while (named.ends_with(' ') || named.ends_with('\t')) named.remove_suffix(1);
      if (same(named, field)) return true;
    }
    return false;
  }

 private:
  std::string list_;
};

// "192.0.2.1" of "192.0.2.1:5123".
std::string_view without_port(std::string_view remote) {
  return remote.substr(0, std::min(remote.rfind(':'), remote.size()));
}

class Proxy final : public Plugin {
 public:
  void self_check(Worker& worker) override { read_settings(worker); }
  void on_worker_start(Worker& worker) override { read_settings(worker); }

  Task<void> on_request_async(Request& request, Response& response) override {
    if (tunnels_) throw std::runtime_error("settings.upstream is a tunnel's, this is a request");
    if (!request.path().starts_with('/')) throw BadRequest("only paths are passed on");
    const HttpRequest passed = to_upstream(request);
    try {
      HttpAnswer got = co_await worker().http().open(passed);
      begin(response, got.head());
      if (request.method() == "HEAD") {
        // Its connection is kept behind its end only.
        while (co_await got.read()) continue;
        response.stream(type_of(got.head()), length_of(got.head())).finish();
      } else {
        co_await pass_body(response, got);
      }
    } catch (const RequestError& error) {
      refuse(response, 400, "the request cannot be passed on", error);
    } catch (const TimeoutError& error) {
      refuse(response, 504, "the upstream did not answer in time", error);
    } catch (const ConnectError& error) {
      refuse(response, 502, "the upstream cannot be reached", error);
    } catch (const ClientError& error) {
      refuse(response, 502, "the upstream gave no whole answer", error);
    }
  }

  void on_websocket_open(Connection, const Request&, Upgrade& upgrade) override {
    upgrade.refuse(501, "WebSockets are not passed on");
  }

  // The client waits until the upstream is there. Its context holds the upstream's connection: the
  // end of one is the end of both.
  void on_connect(Connection client) override {
    if (!tunnels_)
      throw std::runtime_error("settings.upstream is not tcp:// or tls://: no tunnel leads there");
    client.pause();
    client.emplace<Outbound>(
        worker().connect(upstream_, connect_options_,
                         {.on_open = [client](Connection upstream) { join(client, upstream); },
                          .on_message = [](Connection, Message) {},
                          .on_close = [client](Connection, const Disconnected&) { client.close(); },
                          .on_failed =
                              [this, client](const ConnectFailed& failed) {
                                worker().warn(failed.what);
                                client.close();
                              }}));
  }
  // Past this goes all that is piped.
  void on_message(Connection, Message) override {}

 private:
  void read_settings(Worker& worker) {
    const Settings settings = worker.settings();
    upstream_ = settings.require("upstream");
    tunnels_ = upstream_.starts_with("tcp://") || upstream_.starts_with("tls://");
    const bool is_unix = upstream_.starts_with("http://unix:");
    if (!tunnels_ && !upstream_.starts_with("http://") && !upstream_.starts_with("https://")) {
      throw std::invalid_argument(
          "settings.upstream begins with none of http://, https://, tcp:// and tls://");
    }
    while (upstream_.ends_with('/')) upstream_.pop_back();
    if (is_unix && !upstream_.ends_with(':')) upstream_ += ':';
    options_.timeout = std::chrono::milliseconds(settings.get("timeout_ms", 30'000));
    connect_options_.connect_timeout =
        std::chrono::milliseconds(settings.get("connect_timeout_ms", 5'000));
    options_.connect_timeout = connect_options_.connect_timeout;
    options_.ca_file = connect_options_.ca_file = settings.get("ca_file", "");
  }

  static void join(Connection client, Connection upstream) {
    const bool joined = client.pipe_to(upstream) && upstream.pipe_to(client);
    if (!joined) upstream.close();
    client.resume();
  }

  HttpRequest to_upstream(const Request& request) const {
    HttpRequest passed;
    passed.method = request.method();
    passed.url = upstream_ + std::string(request.path());
    if (!request.query_string().empty()) passed.url += "?" + std::string(request.query_string());
    passed.body = request.body();
    passed.options = options_;
    Connections connections;
    for (const auto& [name, value] : request.headers()) {
      if (same(name, "Connection")) connections.add(value);
    }
    std::string came_from;
    for (const auto& [name, value] : request.headers()) {
      if (same(name, "X-Forwarded-For")) came_from += std::string(value) + ", ";
      if (!is_kept_back(name) && !connections.name(name))
        passed.headers.push_back({std::string(name), std::string(value)});
    }
    came_from += without_port(request.remote());
    passed.headers.push_back({"X-Forwarded-For", came_from});
    passed.headers.push_back({"X-Forwarded-Host", std::string(request.header("Host", ""))});
    passed.headers.push_back({"X-Forwarded-Proto", request.tls() ? "https" : "http"});
    return passed;
  }

  static void begin(Response& response, const HttpResponse& got) {
    if (got.status < 200 || got.status > 599)
      throw ResponseError("the upstream's status is " + std::to_string(got.status));
    Connections connections;
    for (const HttpField& field : got.headers) {
      if (same(field.name, "Connection")) connections.add(field.value);
    }
    response.status(static_cast<int>(got.status));
    for (const HttpField& field : got.headers) {
      if (!is_kept_back(field.name) && !connections.name(field.name))
        response.header(field.name, field.value);
    }
  }

  // Where the rest does not come the stream goes unfinished: the client sees that it is not whole.
  static Task<void> pass_body(Response& response, HttpAnswer& got) {
    std::optional<std::string> piece = co_await got.read();
    if (!piece) co_return;
    const std::optional<std::uint64_t> length = length_of(got.head());
    if (length == piece->size()) {
      const std::string whole = *std::move(piece);
      while (co_await got.read()) continue;
      response.body(whole, type_of(got.head()));
      co_return;
    }
    Stream stream = response.stream(type_of(got.head()), length);
    for (; piece; piece = co_await got.read()) {
      if (!co_await stream.send(*piece)) co_return;
    }
    stream.finish();
  }

  static std::string type_of(const HttpResponse& got) {
    return std::string(got.header("Content-Type", "application/octet-stream"));
  }

  // What a GET would have brought.
  static std::optional<std::uint64_t> length_of(const HttpResponse& got) {
    const std::string_view text = got.header("Content-Length", "");
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return length;
  }

  // The details are for the log: they name what stands behind this proxy.
  void refuse(Response& response, int status, const std::string& why, const ClientError& error) {
    worker().warn(error.what());
    response.status(status).text(why + "\n");
  }

  std::string upstream_;
  bool tunnels_ = false;
  HttpOptions options_;
  ConnectOptions connect_options_;
};

}  // namespace

APPSERVER_PLUGIN(Proxy, "proxy", "1.2.0")
