// A call of HTTP to another server: what it is made of, and its handle. See http_client.hpp.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/client.h>

#include <algorithm>
#include <appserver/client_error.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/handle.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/outcome.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace appserver {

struct HttpField {
  std::string name;
  std::string value;
};

struct HttpOptions {
  std::chrono::milliseconds connect_timeout{5'000};  // name, address and TLS together
  std::chrono::milliseconds timeout{30'000};         // the whole call, redirects included
  std::size_t max_body = std::size_t{10} << 20;      // of the answer, in bytes
  // 0: a redirect is an answer like others. Followed ones do not post again, and take no
  // Authorization and Cookie along to another origin.
  unsigned max_redirects = 0;
  std::string ca_file{};  // PEM of those to trust for https://; empty: those that the system trusts
};

struct HttpRequest {
  std::string method{"GET"};
  // http://host:port/path?query, https:// alike, http://unix:/path/of/socket:/target
  std::string url{};
  // Not those that frame the message (Content-Length, Transfer-Encoding, Connection ...).
  std::vector<HttpField> headers{};
  std::string body{};
  HttpOptions options{};
};

// An answer with any status.
struct HttpResponse {
  unsigned status = 0;
  std::vector<HttpField> headers{};  // in the order sent
  std::string body{};                // transfer coding removed, content coding kept

  // The first header of that name, case ignored.
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    for (const HttpField& field : headers) {
      if (detail::equal_ignoring_case(field.name, name)) return std::string_view(field.value);
    }
    return std::nullopt;
  }
  std::string_view header(std::string_view name, std::string_view fallback) const noexcept {
    return header(name).value_or(fallback);
  }
};

namespace detail {

class CallSet;

class CallDone {
 public:
  CallDone() = default;
  CallDone(const CallDone&) = delete;
  CallDone& operator=(const CallDone&) = delete;
  virtual ~CallDone() = default;
  // Of an answer in pieces:
  virtual void begin(HttpResponse head) { static_cast<void>(head); }
  virtual void take(std::string_view piece) { static_cast<void>(piece); }
  // The end of any.
  virtual void run(Outcome<HttpResponse> outcome) = 0;
};

template <class Function>
class CallDoneOf final : public CallDone {
 public:
  template <class F>
  explicit CallDoneOf(std::in_place_t, F&& function) : function_(std::forward<F>(function)) {}
  void run(Outcome<HttpResponse> outcome) override {
    static_cast<void>(function_(std::move(outcome)));
  }

 private:
  Function function_;
};

// One call. `set` is null once it has ended; `index` is its place in the set.
struct CallState {
  CallSet* set;
  std::size_t index;
  appserver_http_call id;
  std::unique_ptr<CallDone> done;
};

// The calls of a worker that are under way: owns their functions, so that none is leaked when the
// worker ends. Loop thread only.
class CallSet {
 public:
  CallSet(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  CallSet(const CallSet&) = delete;
  CallSet& operator=(const CallSet&) = delete;
  ~CallSet() { clear(); }

  enum class Answer { whole, in_pieces };
  std::shared_ptr<CallState> start(const HttpRequest& request, std::unique_ptr<CallDone> done,
                                   Answer answer = Answer::whole) {
    const appserver_client_host& client = table();
    const bool in_pieces = answer == Answer::in_pieces;
    if (in_pieces && !APPSERVER_HAS(appserver_client_host, &client, http_resume))
      throw std::runtime_error("the host has no answers in pieces (http_stream)");
    auto state = std::make_shared<CallState>(CallState{this, 0, 0, std::move(done)});
    running_.add(state);
    std::vector<appserver_header> headers;
    headers.reserve(request.headers.size());
    for (const HttpField& field : request.headers)
      headers.push_back({str(field.name), str(field.value)});
    appserver_client_request raw{};
    raw.size = sizeof(raw);
    raw.max_redirects = request.options.max_redirects;
    raw.method = str(request.method);
    raw.url = str(request.url);
    raw.headers = headers.data();
    raw.header_count = static_cast<std::uint32_t>(headers.size());
    raw.header_stride = sizeof(appserver_header);
    raw.body = str(request.body);
    raw.connect_timeout_ms = count(request.options.connect_timeout);
    raw.timeout_ms = count(request.options.timeout);
    raw.max_body = std::max<std::size_t>(request.options.max_body, 1);
    raw.ca_file = str(request.options.ca_file);
    static constexpr appserver_client_stream kStream{sizeof(appserver_client_stream), 0, &began,
                                                     &took, &finished};
    const std::int32_t result =
        in_pieces ? client.http_stream(worker_, &raw, &kStream, state.get(), &state->id)
                  : client.http_start(worker_, &raw, &finished, state.get(), &state->id);
    if (result == APPSERVER_OK) return state;
    running_.remove(*state);
    throw std::runtime_error(result == APPSERVER_GONE
                                 ? "an HTTP call was begun while the worker ends"
                                 : "an HTTP call was begun elsewhere than on the loop");
  }

  // May destroy the function, unless it is the one running.
  void cancel(CallState& state) noexcept {
    client_->http_cancel(worker_, state.id);
    running_.remove(state);
  }

  void pause(const CallState& state, bool paused) noexcept {
    if (!APPSERVER_HAS(appserver_client_host, client_, http_resume)) return;
    (paused ? client_->http_pause : client_->http_resume)(worker_, state.id);
  }

  // Ends all, also those that are begun by what is destroyed by it.
  void clear() noexcept {
    while (!running_.empty()) cancel(*running_.last());
  }

 private:
  // Asked for with the first call: a plugin that makes none runs on hosts that have none.
  const appserver_client_host& table() {
    if (client_ != nullptr) return *client_;
    const auto* const found =
        static_cast<const appserver_client_host*>(host_->extension(APPSERVER_CLIENT));
    if (found == nullptr || !APPSERVER_HAS(appserver_client_host, found, http_cancel))
      throw std::runtime_error("the host lacks " APPSERVER_CLIENT);
    client_ = found;
    return *client_;
  }

  static std::uint64_t count(std::chrono::milliseconds duration) noexcept {
    return duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) : 1;
  }

  static Outcome<HttpResponse> outcome_of_raw(const appserver_client_response& raw) {
    if (raw.failure != APPSERVER_CALL_ANSWERED)
      return client_error(raw.failure, std::string(view(raw.message)));
    HttpResponse response;
    response.status = raw.status;
    response.body = view(raw.body);
    response.headers.reserve(raw.header_count);
    const void* const first = raw.headers;
    for (std::uint32_t i = 0; i < raw.header_count; ++i) {
      // Stepped in bytes: a newer host's headers may be longer than the ones known here.
      const void* const at = static_cast<const char*>(first) + std::size_t{i} * raw.header_stride;
      const auto* const header = static_cast<const appserver_header*>(at);
      response.headers.push_back(
          {std::string(view(header->name)), std::string(view(header->value))});
    }
    return response;
  }

  // What leaves it ends the call: pieces without what went wrong with one are no answer.
  template <class Run>
  static void run_guarded(void* argument, Run&& run) noexcept {
    auto* const state = static_cast<CallState*>(argument);
    const std::shared_ptr<CallState> keep = state->set->running_.keep(*state);
    try {
      run(*keep->done);
    } catch (...) {
      if (keep->set == nullptr) return;
      CallSet& set = *keep->set;
      log_exception(set.host_, set.worker_, "HTTP call");
      set.cancel(*keep);
    }
  }
  static void began(void* argument, const appserver_client_response* head) noexcept {
    run_guarded(argument, [&](CallDone& done) { done.begin(outcome_of_raw(*head).value()); });
  }
  static void took(void* argument, appserver_str piece) noexcept {
    run_guarded(argument, [&](CallDone& done) { done.take(view(piece)); });
  }

  static void finished(void* argument, const appserver_client_response* raw) noexcept {
    auto* const state = static_cast<CallState*>(argument);
    CallSet& set = *state->set;
    // The function may drop its own handle.
    const std::shared_ptr<CallState> keep = set.running_.keep(*state);
    set.running_.remove(*keep);
    try {
      keep->done->run(outcome_of_raw(*raw));
    } catch (...) {
      log_exception(set.host_, set.worker_, "HTTP call");
    }
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_client_host* client_ = nullptr;
  Running<CallState> running_;
};

}  // namespace detail

// A call that is under way. It is cancelled when this handle goes, unless detached: keep it, or
// `http().get(...).detach()`. Loop thread only, the destructor too. May outlive the plugin, then it
// is inert.
class [[nodiscard]] HttpCall : detail::Handle<detail::CallState> {
 public:
  using Handle::Handle;
  // Whether the function is still to be called.
  using Handle::active;
  // After this the function is not called, but destroyed. What was sent is sent.
  using Handle::cancel;

  // Of an answer in pieces: none comes until resume(); what the server sends waits at its side.
  void pause() noexcept {
    if (active()) state().set->pause(state(), true);
  }
  void resume() noexcept {
    if (active()) state().set->pause(state(), false);
  }

  // The call goes on without a handle.
  using Handle::detach;
};

}  // namespace appserver
