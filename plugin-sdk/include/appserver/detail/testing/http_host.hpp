// "http/1" of a host in memory: exchanges that the test opens and reads.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <algorithm>
#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/tls_facts.hpp>
#include <appserver/detail/text.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string target = "/";
  std::string method = "GET";
  Fields headers = {};
  std::string body = {};
  std::string remote = "192.0.2.1:5123";
  std::optional<TlsInfo> tls = {};  // the connection's, where it is under TLS
};

// A request as the C ABI has it; both must outlive it.
class RawRequest {
 public:
  explicit RawRequest(const HttpRequest& request) : tls_(request.tls) {
    const std::string_view target = request.target;
    const std::size_t mark = target.find('?');
    const std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    for (const auto& [name, value] : request.headers)
      headers_.push_back({detail::str(name), detail::str(value)});
    raw_ = {sizeof(appserver_http_request),
            11,
            detail::str(request.method),
            detail::str(target),
            detail::str(target.substr(0, mark)),
            detail::str(query),
            headers_.data(),
            static_cast<std::uint32_t>(headers_.size()),
            sizeof(appserver_header),
            detail::str(request.body),
            detail::str(request.remote),
            tls_.raw()};
  }
  RawRequest(const RawRequest&) = delete;
  RawRequest& operator=(const RawRequest&) = delete;
  const appserver_http_request& raw() const { return raw_; }

 private:
  std::vector<appserver_header> headers_;
  RawTls tls_;
  appserver_http_request raw_{};
};

// Where an exchange stands. kAnswered and kAborted are final.
enum class State { kOpen, kDeferred, kStreaming, kAnswered, kAborted, kDisconnected };

// What a client has got so far.
struct Answer {
  State state = State::kOpen;
  std::uint32_t status = 0;
  Fields headers = {};
  std::string body = {};
  std::int64_t content_length = -1;
  bool failed = false;  // the plugin's on_request gave ERROR, or no answer

  // The first one of that name, in any case; "(none)" where there is none.
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (detail::equal_ignoring_case(key, name)) return value;
    }
    return "(none)";
  }
};

class HttpHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_HTTP;
  static const void* table() noexcept {
    static constexpr appserver_http_host kTable{
        sizeof(appserver_http_host), 0, &respond, &defer, &start, &write, &finish, &abort, &alive};
    return &kTable;
  }
  using Extension::Extension;

  void attach(const appserver_plugin& plugin, void* self) override {
    plugin_ = read_table<appserver_http_plugin>(plugin, kName);
    self_ = self;
  }
  void detach() override { self_ = nullptr; }

  // Throws std::logic_error where the plugin serves no HTTP.
  appserver_exchange request(const HttpRequest& request) {
    if (self_ == nullptr || plugin_.on_request == nullptr)
      throw std::logic_error("a request for a plugin that has no on_request, or has ended");
    const RawRequest raw(request);
    const appserver_exchange id = core().locked([&] {
      exchanges_[++last_].head = request.method == "HEAD";
      return last_;
    });
    core().forget_error();
    asked_ = id;
    const std::int32_t result = plugin_.on_request(self_, &raw.raw(), id);
    asked_ = 0;
    if (result != APPSERVER_OK) core().log_failure("on_request");
    returned(id, result);
    return id;
  }

  // How many bytes of a stream may wait unread. Reading is `read(id)`.
  void set_write_bound(std::size_t bytes) {
    core().locked([&] { write_bound_ = bytes; });
  }
  Answer answer(appserver_exchange id) const {
    return core().locked([&] { return exchanges_.at(id).answer; });
  }
  // Waits for the end of the answer, however it ends.
  Answer wait(appserver_exchange id, milliseconds deadline = std::chrono::seconds(20)) const {
    std::unique_lock lock(core().mutex());
    const Answer& answer = exchanges_.at(id).answer;
    core().changed().wait_for(lock, deadline, [&] { return is_final(answer.state); });
    return answer;
  }
  void disconnect(appserver_exchange id) {
    core().locked([&] {
      State& state = exchanges_.at(id).answer.state;
      if (!is_final(state)) state = State::kDisconnected;
    });
    core().changed().notify_all();
  }
  // The client closes its sending half, and still reads what comes: a plugin that wants to know is
  // told, as a host tells it.
  void client_gone(appserver_exchange id) {
    const bool wants_to_know = APPSERVER_HAS(appserver_http_plugin, &plugin_, on_client_gone) &&
                               plugin_.on_client_gone != nullptr;
    if (wants_to_know && self_ != nullptr) plugin_.on_client_gone(self_, id);
  }
  // The client takes all that waits.
  void read(appserver_exchange id) {
    core().locked([&] { exchanges_.at(id).unread = 0; });
  }

 private:
  struct Exchange {
    Answer answer;
    std::size_t unread = 0;
    bool head = false;                  // no body follows, whatever the answer says
    std::optional<std::uint64_t> left;  // of the body that was announced
  };

  static bool is_final(State state) {
    return state == State::kAnswered || state == State::kAborted;
  }

  void returned(appserver_exchange id, std::int32_t result) {
    core().locked([&] {
      Answer& answer = exchanges_.at(id).answer;
      answer.failed = result != APPSERVER_OK || answer.state == State::kOpen;
      if (!answer.failed) return;
      if (answer.state == State::kStreaming) answer.state = State::kAborted;
      if (answer.state == State::kOpen || answer.state == State::kDeferred) {
        answer.state = State::kAnswered;
        answer.status = 500;
      }
    });
    core().changed().notify_all();
  }

  static HttpHost& of(appserver_worker* worker) { return Core::of(worker).extension<HttpHost>(); }

  // Runs change(Exchange&) if the client of this exchange still waits in one of the given states,
  // else gives GONE.
  template <class Change>
  static std::int32_t in_state(appserver_worker* worker, appserver_exchange id, bool streaming,
                               Change&& change) {
    HttpHost& host = of(worker);
    const std::int32_t result = host.core().locked([&]() -> std::int32_t {
      const auto found = host.exchanges_.find(id);
      if (found == host.exchanges_.end()) return APPSERVER_GONE;
      const State state = found->second.answer.state;
      if (is_final(state) || state == State::kDisconnected) return APPSERVER_GONE;
      if ((state == State::kStreaming) != streaming) return APPSERVER_INVALID;
      return change(found->second);
    });
    host.core().changed().notify_all();
    return result;
  }

  static bool is_the_hosts(std::string_view name) {
    constexpr std::string_view kNames[] = {
        "TE",         "Date",       "Upgrade",        "Trailer",
        "Connection", "Keep-Alive", "Content-Length", "Transfer-Encoding"};
    return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view each) {
      return detail::equal_ignoring_case(each, name);
    });
  }

  static bool take_head(Exchange& exchange, const appserver_http_response& response) {
    if (response.status < 200 || response.status > 599) return false;
    Fields fields;
    const auto* next = static_cast<const char*>(static_cast<const void*>(response.headers));
    for (std::uint32_t i = 0; i < response.header_count; ++i, next += response.header_stride) {
      const auto& header = *static_cast<const appserver_header*>(static_cast<const void*>(next));
      const std::string_view name = detail::view(header.name);
      const std::string_view value = detail::view(header.value);
      if (!detail::is_token(name) || is_the_hosts(name)) return false;
      if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
        return false;
      fields.emplace_back(name, value);
    }
    exchange.answer.status = response.status;
    exchange.answer.headers = std::move(fields);
    if (!drops_body(exchange)) exchange.answer.body = detail::view(response.body);
    return true;
  }
  static bool drops_body(const Exchange& exchange) {
    const std::uint32_t status = exchange.answer.status;
    return exchange.head || status == 204 || status == 304;
  }

  static std::int32_t respond(appserver_worker* worker, appserver_exchange id,
                              const appserver_http_response* response) noexcept {
    return in_state(worker, id, false, [&](Exchange& exchange) {
      if (!take_head(exchange, *response)) return APPSERVER_INVALID;
      exchange.answer.state = State::kAnswered;
      return APPSERVER_OK;
    });
  }
  static std::int32_t defer(appserver_worker* worker, appserver_exchange id) noexcept {
    if (!Core::of(worker).on_loop() || of(worker).asked_ != id) return APPSERVER_INVALID;
    return in_state(worker, id, false, [&](Exchange& exchange) {
      exchange.answer.state = State::kDeferred;
      return APPSERVER_OK;
    });
  }
  static std::int32_t start(appserver_worker* worker, appserver_exchange id,
                            const appserver_http_response* response,
                            std::int64_t content_length) noexcept {
    return in_state(worker, id, false, [&](Exchange& exchange) {
      const auto length = static_cast<std::uint64_t>(std::max<std::int64_t>(content_length, 0));
      if (content_length >= 0 && response->body.size > length) return APPSERVER_INVALID;
      if (!take_head(exchange, *response)) return APPSERVER_INVALID;
      exchange.answer.content_length = content_length;
      if (content_length >= 0 && !drops_body(exchange))
        exchange.left = length - response->body.size;
      exchange.unread = exchange.answer.body.size();
      exchange.answer.state = State::kStreaming;
      return APPSERVER_OK;
    });
  }
  static std::int32_t write(appserver_worker* worker, appserver_exchange id,
                            appserver_str piece) noexcept {
    return in_state(worker, id, true, [&](Exchange& exchange) {
      if (exchange.left && piece.size > *exchange.left) return APPSERVER_INVALID;
      if (exchange.unread > of(worker).write_bound_) return APPSERVER_LIMIT;
      if (exchange.left) *exchange.left -= piece.size;
      if (drops_body(exchange)) return APPSERVER_OK;
      exchange.unread += piece.size;
      exchange.answer.body += detail::view(piece);
      return APPSERVER_OK;
    });
  }
  static std::int32_t finish(appserver_worker* worker, appserver_exchange id) noexcept {
    return in_state(worker, id, true, [&](Exchange& exchange) {
      const bool whole = exchange.left.value_or(0) == 0;
      exchange.answer.state = whole ? State::kAnswered : State::kAborted;
      return whole ? APPSERVER_OK : APPSERVER_INVALID;
    });
  }
  static std::int32_t abort(appserver_worker* worker, appserver_exchange id) noexcept {
    HttpHost& host = of(worker);
    const bool streaming = host.core().locked([&] {
      const auto found = host.exchanges_.find(id);
      return found != host.exchanges_.end() && found->second.answer.state == State::kStreaming;
    });
    return in_state(worker, id, streaming, [&](Exchange& exchange) {
      exchange.answer.state = State::kAborted;
      return APPSERVER_OK;
    });
  }
  static std::int32_t alive(appserver_worker* worker, appserver_exchange id) noexcept {
    HttpHost& host = of(worker);
    return host.core().locked([&] {
      const auto found = host.exchanges_.find(id);
      if (found == host.exchanges_.end()) return APPSERVER_GONE;
      const State state = found->second.answer.state;
      return is_final(state) || state == State::kDisconnected ? APPSERVER_GONE : APPSERVER_OK;
    });
  }

  appserver_http_plugin plugin_{};
  void* self_ = nullptr;
  appserver_exchange asked_ = 0;  // whose on_request runs
  std::map<appserver_exchange, Exchange> exchanges_;
  appserver_exchange last_ = 0;
  std::size_t write_bound_ = std::size_t{1} << 20;
};

}  // namespace appserver::testing
