// "client/1" of a host in memory: what a plugin asks of others is answered by the test.
#pragma once

#include <appserver/abi/client.h>

#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/http_host.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// A call to another server.
struct Asked {
  std::string method;
  std::string url;
  Fields headers;
  std::string body;
  std::uint64_t timeout_ms;
  std::string ca_file;
};

class ClientHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_CLIENT;
  static const void* table() noexcept {
    static constexpr appserver_client_host kTable{sizeof(appserver_client_host),
                                                  0,
                                                  &http_start,
                                                  &http_cancel,
                                                  &http_stream,
                                                  &http_pause,
                                                  &http_resume};
    return &kTable;
  }
  using Extension::Extension;

  // What was resumed goes on.
  bool turn() override {
    std::vector<appserver_http_call> due;
    for (const auto& [call, stream] : streams_) {
      if (!stream.paused && (!stream.waiting.empty() || stream.end)) due.push_back(call);
    }
    for (const appserver_http_call call : due) go_on(call);
    return !due.empty();
  }

  // A worker that has ended calls nobody back.
  void detach() override {
    asked_.clear();
    ends_.clear();
    streams_.clear();
  }

  // Those under way, by number.
  const std::map<appserver_http_call, Asked>& asked() const { return asked_; }
  void answer(appserver_http_call call, std::uint32_t status, const Fields& headers,
              std::string_view body) {
    with_headers(status, headers, [&](appserver_client_response& raw) {
      if (!streams_.contains(call)) {
        raw.body = view(body);
        end(call, raw);
        return;
      }
      begin(call, raw);
      append(call, body);
      finish(call);
    });
  }
  // Of an answer that comes in pieces: its head, some of its body, and its end. What is paused gets
  // the rest when it goes on.
  void begin(appserver_http_call call, std::uint32_t status, const Fields& headers) {
    with_headers(status, headers, [&](appserver_client_response& raw) { begin(call, raw); });
  }
  void append(appserver_http_call call, std::string_view piece) {
    const auto found = streams_.find(call);
    if (found == streams_.end()) return;
    found->second.waiting += piece;
    go_on(call);
  }
  void finish(appserver_http_call call) {
    const auto found = streams_.find(call);
    if (found == streams_.end()) return;
    found->second.end = End{APPSERVER_CALL_ANSWERED, {}};
    go_on(call);
  }
  // `failure` is one of APPSERVER_CALL_*. What is paused gets it when it goes on, if it has a head.
  void fail(appserver_http_call call, std::uint32_t failure, std::string_view message) {
    const auto found = streams_.find(call);
    if (found != streams_.end() && found->second.has_begun) {
      found->second.end = End{failure, std::string(message)};
      go_on(call);
      return;
    }
    appserver_client_response raw{};
    raw.failure = failure;
    raw.message = view(message);
    end(call, raw);
  }

 private:
  using Done = void (*)(void*, const appserver_client_response*) APPSERVER_NOEXCEPT;

  static appserver_str view(std::string_view text) { return {text.data(), text.size()}; }
  static std::string text(appserver_str raw) {
    return raw.size == 0 ? std::string() : std::string(raw.data, raw.size);
  }

  struct End {
    std::uint32_t failure;
    std::string message;
  };
  struct Stream {
    appserver_client_stream hooks;
    void* argument;
    std::string waiting{};
    bool has_begun = false;
    std::optional<End> end{};
    bool paused = false;
  };

  template <class Tell>
  static void with_headers(std::uint32_t status, const Fields& headers, Tell&& tell) {
    std::vector<appserver_header> raw_headers;
    for (const auto& [name, value] : headers) raw_headers.push_back({view(name), view(value)});
    appserver_client_response raw{};
    raw.size = sizeof(raw);
    raw.status = status;
    raw.headers = raw_headers.data();
    raw.header_count = static_cast<std::uint32_t>(raw_headers.size());
    raw.header_stride = sizeof(appserver_header);
    tell(raw);
  }

  void begin(appserver_http_call call, const appserver_client_response& head) {
    Stream& stream = streams_.at(call);
    stream.has_begun = true;
    if (stream.hooks.on_head != nullptr) stream.hooks.on_head(stream.argument, &head);
  }
  // Each hook may cancel, pause or resume it, or begin others.
  void go_on(appserver_http_call call) {
    constexpr std::size_t kPiece = 65'536;
    for (;;) {
      const auto found = streams_.find(call);
      if (found == streams_.end() || found->second.paused) return;
      Stream& stream = found->second;
      if (stream.waiting.empty()) break;
      const std::string piece = stream.waiting.substr(0, kPiece);
      stream.waiting.erase(0, piece.size());
      stream.hooks.on_data(stream.argument, view(piece));
    }
    const std::optional<End> ending = streams_.at(call).end;
    if (!ending) return;
    appserver_client_response raw{};
    raw.failure = ending->failure;
    raw.message = view(ending->message);
    raw.status = ending->failure == APPSERVER_CALL_ANSWERED ? 200 : 0;
    end(call, raw);
  }

  void end(appserver_http_call call, appserver_client_response& raw) {
    raw.size = sizeof(raw);
    asked_.erase(call);
    if (const auto found = streams_.find(call); found != streams_.end()) {
      const Stream ended = found->second;
      streams_.erase(found);
      ended.hooks.on_end(ended.argument, &raw);
      return;
    }
    const auto [done, argument] = ends_.at(call);
    ends_.erase(call);
    done(argument, &raw);
  }

  static std::int32_t http_start(appserver_worker* worker, const appserver_client_request* request,
                                 Done done, void* argument, appserver_http_call* call) noexcept {
    auto& host = Core::of(worker).extension<ClientHost>();
    *call = host.note(request);
    host.ends_[*call] = {done, argument};
    return APPSERVER_OK;
  }
  static std::int32_t http_stream(appserver_worker* worker, const appserver_client_request* request,
                                  const appserver_client_stream* stream, void* argument,
                                  appserver_http_call* call) noexcept {
    auto& host = Core::of(worker).extension<ClientHost>();
    *call = host.note(request);
    host.streams_[*call] = {*stream, argument};
    return APPSERVER_OK;
  }
  static std::int32_t http_pause(appserver_worker* worker, appserver_http_call call) noexcept {
    auto& streams = Core::of(worker).extension<ClientHost>().streams_;
    const auto found = streams.find(call);
    if (found == streams.end()) return APPSERVER_NOT_FOUND;
    found->second.paused = true;
    return APPSERVER_OK;
  }
  // Nothing is called within it.
  static std::int32_t http_resume(appserver_worker* worker, appserver_http_call call) noexcept {
    auto& streams = Core::of(worker).extension<ClientHost>().streams_;
    const auto found = streams.find(call);
    if (found == streams.end()) return APPSERVER_NOT_FOUND;
    found->second.paused = false;
    return APPSERVER_OK;
  }
  appserver_http_call note(const appserver_client_request* request) {
    Asked asked{text(request->method), text(request->url),  {},
                text(request->body),   request->timeout_ms, text(request->ca_file)};
    for (std::uint32_t i = 0; i < request->header_count; ++i) {
      asked.headers.emplace_back(text(request->headers[i].name), text(request->headers[i].value));
    }
    asked_[++last_] = std::move(asked);
    return last_;
  }
  static std::int32_t http_cancel(appserver_worker* worker, appserver_http_call call) noexcept {
    auto& host = Core::of(worker).extension<ClientHost>();
    host.ends_.erase(call);
    host.streams_.erase(call);
    return host.asked_.erase(call) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }

  std::map<appserver_http_call, Asked> asked_;
  std::map<appserver_http_call, std::pair<Done, void*>> ends_;
  std::map<appserver_http_call, Stream> streams_;
  appserver_http_call last_ = 0;
};

}  // namespace appserver::testing
