// Connections that carry messages or bytes: what a plugin does with them.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/stream.h>

#include <appserver/detail/text.hpp>
#include <appserver/tls.hpp>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

namespace appserver {

enum class CloseReason : std::uint32_t {
  kPeer = APPSERVER_CLOSED_BY_PEER,
  kPlugin = APPSERVER_CLOSED_BY_PLUGIN,   // close, abort, or a hook that failed
  kTimeout = APPSERVER_CLOSED_TIMEOUT,    // silent, or taking no bytes, for too long
  kProtocol = APPSERVER_CLOSED_PROTOCOL,  // what came was no message of the protocol
  kLimit = APPSERVER_CLOSED_LIMIT,        // a message over limits.max_message
  kFailure = APPSERVER_CLOSED_FAILURE,    // the network's
  kDrained = APPSERVER_CLOSED_DRAINED,    // the worker ends
};

struct Close {
  CloseReason reason;
  std::string_view text;   // more of it, for a log; valid during the hook
  std::uint16_t code = 0;  // what a WebSocket's peer has closed with; 0: nothing
};

// What on_message gets: the bytes, valid during the hook, and whether they are a text. Those of
// text:// are, those of frame:// and tcp:// are not; those of a WebSocket are what the peer calls
// them, and a text is UTF-8 then.
class Message : public std::string_view {
 public:
  constexpr Message(std::string_view bytes, bool is_text) noexcept
      : std::string_view(bytes), is_text_(is_text) {}
  constexpr bool is_text() const noexcept { return is_text_; }

  friend constexpr bool operator==(const Message& message, std::string_view text) noexcept {
    return message.compare(text) == 0;
  }

 private:
  bool is_text_;
};

// Throw it from Plugin::measure where what came is no message: the connection is closed.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ConnectionInfo {
  std::string protocol;  // "tcp", "text", "frame", "websocket"
  std::string remote;    // "192.0.2.1:5123", "[2001:db8::1]:5123", "unix" or "unknown"
  std::string local;     // alike
  // As the configuration has it: "text://0.0.0.0:2000"; the URL of one that the plugin has opened.
  std::string listener;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::size_t unsent = 0;  // bytes that wait for the peer to take them
  bool paused = false;
  std::string subprotocol{};     // of a WebSocket, as on_websocket_open chose it
  std::optional<TlsInfo> tls{};  // nullopt without TLS
};

namespace detail {

// What a connection's context points to.
class Context {
 public:
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  virtual ~Context() = default;
  virtual void* get(const std::type_info& type) noexcept = 0;
};

template <class T>
class ContextOf final : public Context {
 public:
  template <class... Arguments>
  explicit ContextOf(std::in_place_t, Arguments&&... arguments)
      : value_{std::forward<Arguments>(arguments)...} {}
  void* get(const std::type_info& type) noexcept override {
    return type == typeid(T) ? &value_ : nullptr;
  }

 private:
  T value_;
};

}  // namespace detail

// A name for one connection: cheap to copy, to compare and to keep. Loop thread only, but for the
// comparisons (Worker::post brings work to the loop). It may outlive the connection: then calls do
// nothing, and those that say whether they did say no.
class Connection {
 public:
  // No connection at all.
  Connection() = default;
  Connection(const appserver_stream_host* host, appserver_worker* worker,
             appserver_connection id) noexcept
      : host_(host), worker_(worker), id_(id) {}

  // Never reused within a worker; 0 is none.
  std::uint64_t id() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ != 0; }

  // Sends a message, framed as the listener's protocol has it; over a WebSocket it is a text.
  // False: it was not taken, since the connection has gone or is closing, or limits.send_buffer
  // bytes wait for the peer already (Plugin::on_buffer_drain says when to go on). Throws
  // std::invalid_argument for what cannot be a message: a line with a line break in it, a text over
  // a WebSocket that is not UTF-8, or more than limits.max_message.
  bool send(std::string_view message) const { return send_as(APPSERVER_MESSAGE_TEXT, message); }
  // Alike; over a WebSocket any bytes.
  bool send_binary(std::string_view message) const {
    return send_as(APPSERVER_MESSAGE_BINARY, message);
  }
  // Back as it came.
  bool send(Message message) const {
    return message.is_text() ? send(std::string_view(message)) : send_binary(message);
  }

  // No on_message any more; sends what waits, then ends it; on_close follows later. False: it has
  // gone.
  bool close() const noexcept {
    return call([&] { return host_->close(worker_, id_, 0, {}); }) == APPSERVER_OK;
  }
  // A WebSocket's peer is told why: 1000 to 1014 as RFC 6455 has them, 3000 to 4999 as you like,
  // and at most 123 bytes of text. Throws std::invalid_argument where that may not be sent.
  bool close(std::uint16_t code, std::string_view reason = {}) const {
    const std::int32_t result =
        call([&] { return host_->close(worker_, id_, code, detail::str(reason)); });
    if (result == APPSERVER_INVALID) {
      throw std::invalid_argument(
          "Connection::close: a code that may not be sent, a reason over 123 bytes or not UTF-8, "
          "or not called on the loop");
    }
    return result == APPSERVER_OK;
  }
  // Ends it at once: what waits is lost, and the peer sees a reset. on_close follows later.
  bool abort() const noexcept {
    return call([&] { return host_->abort(worker_, id_); }) == APPSERVER_OK;
  }

  // No on_message until resume(): what the peer sends waits, and then the peer has to.
  bool pause() const noexcept {
    return call([&] { return host_->pause(worker_, id_); }) == APPSERVER_OK;
  }
  bool resume() const noexcept {
    return call([&] { return host_->resume(worker_, id_); }) == APPSERVER_OK;
  }

  // What comes from this one goes to `sink`, past on_message and no faster than that takes it,
  // until either ends; then the other is closed, too. With both ways piped that is a tunnel, each
  // direction of which ends by itself. For tcp:// and tls://, of clients where the plugin has no
  // `measure`.
  bool pipe_to(Connection sink) const noexcept {
    return call([&] { return host_->pipe(worker_, id_, sink.id_); }) == APPSERVER_OK;
  }

  // Whether it is there still; one that is closing is.
  bool open() const noexcept {
    appserver_connection_info raw{};
    return read(raw);
  }
  // Empty where it has gone.
  ConnectionInfo info() const {
    appserver_connection_info raw{};
    if (!read(raw)) return {};
    const auto text = [](appserver_str str) { return std::string(detail::view(str)); };
    return {text(raw.protocol),
            text(raw.remote),
            text(raw.local),
            text(raw.listener),
            raw.bytes_in,
            raw.bytes_out,
            static_cast<std::size_t>(raw.unsent),
            raw.paused != 0,
            text(raw.subprotocol),
            detail::tls_info(raw.tls)};
  }
  std::string remote() const { return info().remote; }
  // Bytes that wait for the peer to take them.
  std::size_t unsent() const noexcept {
    appserver_connection_info raw{};
    return read(raw) ? static_cast<std::size_t>(raw.unsent) : 0;
  }

  // The connection's own T, in place of whatever was kept before. It goes after on_close or
  // on_handover. Throws std::runtime_error where the connection has gone.
  template <class T, class... Arguments>
  T& emplace(Arguments&&... arguments) const {
    auto made = std::make_unique<detail::ContextOf<T>>(std::in_place,
                                                       std::forward<Arguments>(arguments)...);
    void* const value = made->get(typeid(T));
    const std::unique_ptr<detail::Context> before(context());
    detail::Context* const raw = made.get();
    if (call([&] { return host_->set_context(worker_, id_, raw); }) != APPSERVER_OK)
      throw std::runtime_error("Connection::emplace: the connection has gone");
    static_cast<void>(made.release());
    return *static_cast<T*>(value);
  }
  // Null where there is none, or one of another type.
  template <class T>
  T* get() const noexcept {
    detail::Context* const kept = context();
    return kept == nullptr ? nullptr : static_cast<T*>(kept->get(typeid(T)));
  }

  // For the SDK.
  void drop_context() const noexcept { const auto kept = release_context(); }
  std::unique_ptr<detail::Context> release_context() const noexcept {
    std::unique_ptr<detail::Context> kept(context());
    if (kept) host_->set_context(worker_, id_, nullptr);
    return kept;
  }

  friend bool operator==(const Connection& a, const Connection& b) noexcept {
    return a.id_ == b.id_;
  }
  friend std::strong_ordering operator<=>(const Connection& a, const Connection& b) noexcept {
    return a.id_ <=> b.id_;
  }

 private:
  template <class Call>
  std::int32_t call(Call&& call) const noexcept {
    return id_ == 0 ? APPSERVER_GONE : call();
  }
  bool send_as(std::uint32_t kind, std::string_view message) const {
    const std::int32_t result =
        call([&] { return host_->send(worker_, id_, kind, detail::str(message)); });
    if (result == APPSERVER_INVALID) {
      throw std::invalid_argument(
          "Connection::send: no message of this protocol (a line break in a line, a text that is "
          "not UTF-8, more than limits.max_message), or not called on the loop");
    }
    return result == APPSERVER_OK;
  }
  detail::Context* context() const noexcept {
    return id_ == 0 ? nullptr : static_cast<detail::Context*>(host_->context(worker_, id_));
  }
  bool read(appserver_connection_info& raw) const noexcept {
    raw.size = sizeof(raw);
    return call([&] { return host_->info(worker_, id_, &raw); }) == APPSERVER_OK;
  }

  const appserver_stream_host* host_ = nullptr;
  appserver_worker* worker_ = nullptr;
  appserver_connection id_ = 0;
};

}  // namespace appserver

template <>
struct std::hash<appserver::Connection> {
  std::size_t operator()(const appserver::Connection& connection) const noexcept {
    return std::hash<std::uint64_t>{}(connection.id());
  }
};
