// Connections that a plugin opens to others, on the worker's event loop:
//   upstream_ = worker().connect("text://prices:2000", {.retries = ConnectOptions::kForever}, {
//       .on_open = [](Connection peer) { peer.send("subscribe"); },
//       .on_message = [this](Connection, Message line) { show(line); },
//       .on_failed = [this](const ConnectFailed& failed) { worker().warn(failed.what); }});
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/connect.h>

#include <appserver/client_error.hpp>
#include <appserver/connection.hpp>
#include <appserver/detail/boundary.hpp>
#include <appserver/detail/handle.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/http_client.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver {

struct ConnectOptions {
  static constexpr std::uint32_t kForever = APPSERVER_CONNECT_FOREVER;

  // How often in a row it is tried again, after an attempt that failed or a connection that ended;
  // the row ends with a connection that has lived for ten seconds. Not after the plugin's own
  // close(), the worker's end, or for a URL that is wrong.
  std::uint32_t retries = 0;
  // The delay is anything from the minimum (at least 10 ms) to a bound that doubles from twice the
  // minimum to the maximum: clients that lost one peer together come back apart.
  std::chrono::milliseconds min_delay{500};
  std::chrono::milliseconds max_delay{30'000};
  // Name, address, TLS and a WebSocket's handshake together.
  std::chrono::milliseconds connect_timeout{5'000};
  std::string ca_file{};  // PEM of those to trust; empty: those that the system trusts
  // Of ws:// and wss://, beside those of the handshake; and subprotocols, wanted most first.
  std::vector<HttpField> headers{};
  std::vector<std::string> subprotocols{};
};

// `again`: until the next attempt; nullopt: there is none, and nothing is called any more.
struct Disconnected : Close {
  std::optional<std::chrono::milliseconds> again{};
};
struct ConnectFailed {
  std::string_view what;     // "text://prices:1: connection refused (10.0.0.1:1)"; valid here only
  std::exception_ptr error;  // the ClientError of http_client.hpp's kind
  std::optional<std::chrono::milliseconds> again{};
};

// What is called, on the loop and never within connect(); each may be left out but on_message. All
// of them may connect, cancel their own handle and use the connection. What they hold goes with the
// last call, or with the handle's cancel().
struct ConnectHandlers {
  // An exception: logged, the connection is aborted, and it is tried again.
  std::function<void(Connection)> on_open{};
  // One message, valid during the call. An exception: logged, the connection is closed, and it is
  // tried again.
  std::function<void(Connection, Message)> on_message{};
  // It was open and has ended. Its context can still be read.
  std::function<void(Connection, const Disconnected&)> on_close{};
  // As those of Plugin.
  std::function<void(Connection)> on_buffer_full{};
  std::function<void(Connection)> on_buffer_drain{};
  // An attempt has failed.
  std::function<void(const ConnectFailed&)> on_failed{};
};

namespace detail {

class Outbounds;

// One connect(). `set` is null once it is over; `index` is its place in the set.
struct OutboundState {
  Outbounds* set;
  std::size_t index;
  appserver_connect id;
  ConnectHandlers handlers;
  Connection open{};
  std::unique_ptr<Context> context{};  // of a connection that a cancel has closed
};

// The outbound connections of a worker: owns their handlers. Loop thread only.
class Outbounds {
 public:
  Outbounds(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  Outbounds(const Outbounds&) = delete;
  Outbounds& operator=(const Outbounds&) = delete;
  ~Outbounds() { clear(); }

  std::shared_ptr<OutboundState> start(std::string_view url, const ConnectOptions& options,
                                       ConnectHandlers handlers) {
    if (!handlers.on_message) throw std::invalid_argument("Worker::connect: no on_message");
    find_tables();
    auto state = std::make_shared<OutboundState>(OutboundState{this, 0, 0, std::move(handlers)});
    running_.add(state);
    std::vector<appserver_header> headers;
    for (const HttpField& field : options.headers)
      headers.push_back({str(field.name), str(field.value)});
    std::vector<appserver_str> subprotocols;
    for (const std::string& name : options.subprotocols) subprotocols.push_back(str(name));
    appserver_connect_options raw{};
    raw.size = sizeof(raw);
    raw.retries = options.retries;
    raw.connect_timeout_ms = count(options.connect_timeout);
    raw.min_delay_ms = count(options.min_delay);
    raw.max_delay_ms = count(options.max_delay);
    raw.ca_file = str(options.ca_file);
    raw.headers = headers.data();
    raw.header_count = static_cast<std::uint32_t>(headers.size());
    raw.header_stride = sizeof(appserver_header);
    raw.subprotocols = subprotocols.data();
    raw.subprotocol_count = static_cast<std::uint32_t>(subprotocols.size());
    const std::int32_t result =
        connects_->start(worker_, str(url), &raw, &kEvents, state.get(), &state->id);
    if (result == APPSERVER_OK) return state;
    running_.remove(*state);
    if (result == APPSERVER_LIMIT)
      throw LimitError("Worker::connect: the worker has reached its bound of connections");
    throw std::runtime_error(result == APPSERVER_GONE
                                 ? "Worker::connect: the worker ends"
                                 : "Worker::connect: called elsewhere than on the loop");
  }

  // May destroy the handlers, unless one of them runs.
  void cancel(OutboundState& state) noexcept {
    // Whoever cancels may be using it.
    if (state.open) state.context = state.open.release_context();
    connects_->cancel(worker_, state.id);
    running_.remove(state);
  }

  // Ends all, also those that are begun by what is destroyed by it.
  void clear() noexcept {
    while (!running_.empty()) cancel(*running_.last());
  }

 private:
  // Asked for with the first one: a plugin that connects to nobody runs on hosts that cannot.
  void find_tables() {
    if (connects_ != nullptr) return;
    const auto* const connects =
        static_cast<const appserver_connect_host*>(host_->extension(APPSERVER_CONNECT));
    stream_ = static_cast<const appserver_stream_host*>(host_->extension(APPSERVER_STREAM));
    if (connects == nullptr || !APPSERVER_HAS(appserver_connect_host, connects, cancel) ||
        stream_ == nullptr || !APPSERVER_HAS(appserver_stream_host, stream_, pipe))
      throw std::runtime_error("Worker::connect: the host lacks " APPSERVER_CONNECT);
    connects_ = connects;
  }

  static std::uint64_t count(std::chrono::milliseconds duration) noexcept {
    return duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) : 1;
  }
  static std::optional<std::chrono::milliseconds> again(std::uint64_t again_ms) noexcept {
    if (again_ms == APPSERVER_CONNECT_NO_MORE) return std::nullopt;
    return std::chrono::milliseconds(again_ms);
  }

  // A handler may end its own state.
  static std::shared_ptr<OutboundState> keep(void* argument) noexcept {
    auto* const state = static_cast<OutboundState*>(argument);
    return state->set->running_.keep(*state);
  }
  Connection connection_of(appserver_connection id) const noexcept {
    return {stream_, worker_, id};
  }

  template <class Call>
  std::int32_t guarded(const char* where, Call&& call) noexcept {
    try {
      call();
      return APPSERVER_OK;
    } catch (...) {
      with_description(where,
                       [&](std::string_view text) { host_->report_error(worker_, str(text)); });
      return APPSERVER_ERROR;
    }
  }
  template <class Call>
  void logged(const char* where, Call&& call) noexcept {
    try {
      call();
    } catch (...) {
      log_exception(host_, worker_, where);
    }
  }

  static std::int32_t on_open(void* argument, appserver_connection id) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    at->open = set.connection_of(id);
    if (!at->handlers.on_open) return APPSERVER_OK;
    return set.guarded("on_open", [&] { at->handlers.on_open(set.connection_of(id)); });
  }
  static std::int32_t on_message(void* argument, appserver_connection id, std::uint32_t kind,
                                 appserver_str message) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    return set.guarded("on_message", [&] {
      at->handlers.on_message(set.connection_of(id),
                              Message(view(message), kind == APPSERVER_MESSAGE_TEXT));
    });
  }
  static void on_close(void* argument, appserver_connection id,
                       const appserver_connect_end* end) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    const Connection connection = set.connection_of(id);
    at->open = {};
    if (end->again_ms == APPSERVER_CONNECT_NO_MORE) set.running_.remove(*at);
    if (at->handlers.on_close) {
      set.logged("on_close", [&] {
        Disconnected told{{static_cast<CloseReason>(end->reason), view(end->text),
                           static_cast<std::uint16_t>(end->code)},
                          again(end->again_ms)};
        at->handlers.on_close(connection, told);
      });
    }
    connection.drop_context();
  }
  static void on_buffer_full(void* argument, appserver_connection id) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    if (!at->handlers.on_buffer_full) return;
    set.logged("on_buffer_full", [&] { at->handlers.on_buffer_full(set.connection_of(id)); });
  }
  static void on_buffer_drain(void* argument, appserver_connection id) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    if (!at->handlers.on_buffer_drain) return;
    set.logged("on_buffer_drain", [&] { at->handlers.on_buffer_drain(set.connection_of(id)); });
  }
  static void on_failed(void* argument, std::uint32_t failure, appserver_str why,
                        std::uint64_t again_ms) noexcept {
    const auto at = keep(argument);
    Outbounds& set = *at->set;
    if (again_ms == APPSERVER_CONNECT_NO_MORE) set.running_.remove(*at);
    if (!at->handlers.on_failed) return;
    set.logged("on_failed", [&] {
      at->handlers.on_failed(
          {view(why), client_error(failure, std::string(view(why))), again(again_ms)});
    });
  }

  static constexpr appserver_connect_events kEvents{sizeof(appserver_connect_events),
                                                    0,
                                                    &on_open,
                                                    &on_message,
                                                    &on_close,
                                                    &on_buffer_full,
                                                    &on_buffer_drain,
                                                    &on_failed};

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_connect_host* connects_ = nullptr;
  const appserver_stream_host* stream_ = nullptr;
  Running<OutboundState> running_;
};

}  // namespace detail

// From Worker::connect(): all attempts and connections of one call. They end when this handle goes,
// unless detached: keep it, or `connect(...).detach()`. Loop thread only, the destructor too. May
// outlive the plugin, then it is inert.
class [[nodiscard]] Outbound : detail::Handle<detail::OutboundState> {
 public:
  using Handle::Handle;
  // Whether it is open, or will be tried (again).
  using Handle::active;
  // None while it is not open.
  Connection connection() const noexcept { return active() ? state().open : Connection(); }

  // After this no handler is called, but all are destroyed; an open connection is closed behind
  // what waits to be sent. May be called by its own handlers.
  using Handle::cancel;
  // It goes on without a handle.
  using Handle::detach;
};

}  // namespace appserver
