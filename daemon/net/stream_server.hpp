// The connections of a worker that carry messages or bytes: WebSocket, tcp, text and frame. Those
// of its clients, and outbound ones, which the worker itself has opened.
#pragma once

#include <appserver/abi/http.h>
#include <appserver/abi/stream.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/connection_table.hpp"
#include "net/handed.hpp"
#include "net/http/response_writer.hpp"
#include "net/stream_listener.hpp"
#include "net/timer_wheel.hpp"
#include "net/websocket/deflate.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::net {

using std::chrono::milliseconds;

struct StreamLimits {
  std::size_t max_message = std::size_t{1} << 20;
  // Bytes that wait for a peer before `send` takes no more, and before more of it is read.
  std::size_t send_buffer = std::size_t{1} << 20;
  // For the first byte to the whole message; longer while it comes at a fair rate.
  milliseconds message_timeout{10'000};
  milliseconds send_timeout{30'000};  // a peer that takes no byte of what waits for it
  // Without a byte, over a WebSocket without a message, in either direction; 0: never.
  milliseconds idle_timeout{0};
  // Of a WebSocket from whose peer nothing comes, to a ping, and then to its end; 0: never.
  milliseconds ping_interval{30'000};
  // Over which WebSockets, and others that are never silent, are ended in a polite drain.
  milliseconds close_spread{5'000};
};

// The plugin. Results say whether it went well; where not, what abi/stream.h says becomes of the
// connection. No exception. Calls of StreamServer may be made from within.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual bool on_connect(appserver_connection connection) = 0;
  struct WebSocketAnswer {
    unsigned status = 0;  // 0: accepted, else that of the HTTP answer
    std::string text{};   // of a refusal
    std::string protocol{};
  };
  virtual WebSocketAnswer on_websocket_open(appserver_connection connection,
                                            const appserver_http_request& request) = 0;
  enum class Outcome { good, failed, fatal };  // fatal: the connection is closed
  virtual Outcome on_message(appserver_connection connection, std::uint32_t kind,
                             std::string_view message) = 0;
  virtual void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                        std::string_view text) = 0;
  virtual void on_buffer_full(appserver_connection connection) = 0;
  virtual void on_buffer_drain(appserver_connection connection) = 0;
  // Nullopt: the connection stays, and is drained politely.
  virtual std::optional<std::string> on_handover(appserver_connection connection) = 0;
  virtual bool on_adopt(appserver_connection connection, std::string_view state) = 0;
  virtual bool has_own_framing() const = 0;
  // Length of the first message, 0: not known yet; nullopt: it is none.
  virtual std::optional<std::uint64_t> measure(appserver_connection connection,
                                               std::string_view data) = 0;
};

class StreamConnection;

// All members on the loop's thread.
class StreamServer final {
 public:
  // A connection that is ended politely has been silent for so long, and may still deliver for as
  // long what the peer has sent.
  static constexpr milliseconds kLinger{1'000};
  // For the peer of a WebSocket to answer our close frame.
  static constexpr milliseconds kCloseTimeout{5'000};
  // For the next byte of the open direction of a tunnel whose other one has ended.
  static constexpr milliseconds kHalfClosed{300'000};
  // Of a compressed message, inflated at a time. What is more goes on while the loop's turn is not
  // spent (TurnBudget), and then in turns of the connection's own, as does what is to be compressed
  // (websocket/outbox.hpp).
  static constexpr std::size_t kInflated = std::size_t{64} << 10;

  StreamServer(boost::asio::io_context& context, const StreamLimits& limits, StreamHandler& handler,
               telemetry::WorkerPage& page);
  ~StreamServer();
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  // Serves a connected, non-blocking stream socket. `ends`: see Handed.
  void serve(os::Fd connection, std::shared_ptr<const StreamListener> listener,
             std::unique_ptr<tls::Session> tls = nullptr, Ends ends = {});
  // Goes on with one that asks for a WebSocket, by a well-formed request (websocket/upgrade.hpp).
  void open_websocket(Handed moved, std::shared_ptr<const StreamListener> listener,
                      const appserver_http_request& request);
  // Goes on with one that a predecessor has moved.
  void adopt(Handed moved, std::shared_ptr<const StreamListener> listener);

  // Goes on with one that this worker has opened, as its client; `origin->text` is the URL.
  // `handler` has on_connect called in here, later on_message, on_close and on_buffer_*; it lives
  // as long as the connection. Never handed over nor drained. False: there is no room, nothing was
  // called.
  bool attach(Handed opened, std::shared_ptr<const StreamListener> origin,
              std::shared_ptr<StreamHandler> handler);

  // Of clients.
  std::size_t connections() const { return table_.count() - outbound_; }
  std::size_t outbound() const { return outbound_; }
  bool outbound_have_unsent();
  // Called when a connection has ended or was handed over, from within its last turn: must not
  // destroy the server.
  void on_fewer(std::function<void()> call) { on_fewer_ = std::move(call); }

  // Called where a connection cannot be served that begins with a PROXY header; with its two ends.
  // Must not destroy the server.
  using ProxyHeader = std::function<void(std::string_view remote, std::string_view local)>;
  void on_proxy_header(ProxyHeader call) { on_proxy_header_ = std::move(call); }

  // To be called each TimerWheel::kTick.
  void tick();

  // From now on each connection goes to `sink` that the handler lets go, at once or behind the
  // message at hand. The sink may call drain_politely() and adopt(): the handover is over then.
  using Sink = std::function<void(Handed)>;
  void hand_over(Sink sink);

  // From now on each connection ends behind the answer to its next message, or once it was silent
  // for kLinger. One without a framing that is never silent ends, from kLinger and a moment within
  // close_spread on, behind an answer with which nothing more is there, unless the handler also
  // sends to it outside of on_message; a WebSocket at such a moment at which nothing waits to be
  // answered; a tunnel by its ends only. Paused ones are left alone.
  void drain_politely();

  // Ends all of clients at once, and those of others that are in the midst of something; gives the
  // number of connections that were open or had something unsent, a tunnel to another server being
  // one. A peer that cannot know whether it has got all sees a reset.
  std::size_t cut();

  // Ends outbound ones behind what waits to be sent, WebSockets with 1001, or at once.
  void close_outbound();
  void cut_outbound();

  // Host side of "stream/1"; see abi/stream.h.
  std::int32_t send(appserver_connection connection, std::uint32_t kind, std::string_view message);
  std::int32_t close(appserver_connection connection, std::uint32_t code, std::string_view reason);
  std::int32_t abort(appserver_connection connection);
  std::int32_t pause(appserver_connection connection, bool paused);
  std::int32_t set_context(appserver_connection connection, void* context);
  void* context(appserver_connection connection);
  std::int32_t info(appserver_connection connection, appserver_connection_info& info);
  std::int32_t pipe(appserver_connection from, appserver_connection to);

  // In place of the processor's time, for tests.
  void measure_work_by(TurnBudget::Clock clock) { table_.budget().measure_by(std::move(clock)); }

 private:
  friend class StreamConnection;

  StreamConnection* find(appserver_connection connection);
  // Also one whose on_close is running.
  StreamConnection* find_ending(appserver_connection connection);
  StreamConnection* add(Handed moved, std::shared_ptr<const StreamListener> listener,
                        std::shared_ptr<StreamHandler> opener = nullptr);
  void connection_ended(bool outbound);
  // Since the first tick, in whole ticks.
  milliseconds now() const { return now_; }
  websocket::Deflate& deflate();
  // Until the next WebSocket is closed in a polite drain.
  milliseconds next_closing();

  StreamLimits limits_;
  StreamHandler& handler_;
  telemetry::WorkerPage& page_;
  boost::asio::io_context& context_;
  TimerWheel wheel_;
  http::DateCache date_;
  std::unique_ptr<websocket::Deflate> deflate_;  // from the first WebSocket on that compresses
  std::string cork_;                             // what is sent to the connection whose turn it is
  std::vector<char> scratch_;
  ConnectionTable<StreamConnection> table_;
  std::function<void()> on_fewer_;
  ProxyHeader on_proxy_header_;
  Sink sink_;
  milliseconds now_{0};
  std::uint32_t closings_ = 0;
  std::size_t outbound_ = 0;
  bool polite_drain_ = false;
};

}  // namespace appserver::net
