// Outbound connections of a worker: opened, and opened again where they fail or end.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>

#include "net/client/authorities.hpp"
#include "net/client/http_call.hpp"
#include "net/client/websocket_opening.hpp"
#include "net/stream_server.hpp"

namespace appserver::net::client {

struct ConnectOptions {
  static constexpr std::uint32_t kForever = std::numeric_limits<std::uint32_t>::max();

  milliseconds connect_timeout{5'000};  // name, addresses, TLS and a WebSocket's handshake together
  std::string ca_file{};                // PEM; empty: the authorities that the system trusts
  WebSocketWish websocket{};            // of ws:// and wss:// only
  // How often in a row it is tried again, after an attempt that failed or a connection that ended
  // and was not closed by its handler; the row ends with a connection that has lived for
  // Connector::kStable. The delay is anything from the minimum to a bound that doubles from twice
  // the minimum to the maximum, so that many who lost one peer do not come back at once.
  std::uint32_t retries = 0;
  milliseconds min_delay{500};
  milliseconds max_delay{30'000};
};

// What becomes of one start(). No exception. Calls of Connector and StreamServer may be made from
// within. `again`: until the next attempt; nullopt: there is none, and this is the last call.
class ConnectEvents {
 public:
  virtual ~ConnectEvents() = default;
  // False: the connection is aborted, on_close follows, and it is tried again.
  virtual bool on_open(appserver_connection connection) = 0;
  virtual StreamHandler::Outcome on_message(appserver_connection connection, std::uint32_t kind,
                                            std::string_view message) = 0;
  struct Ended {
    std::uint32_t reason;  // APPSERVER_CLOSED_*
    std::uint32_t code;    // that a WebSocket's peer has closed with; 0: none
    std::string_view text;
    std::optional<milliseconds> again;
  };
  virtual void on_close(appserver_connection connection, const Ended& ended) = 0;
  virtual void on_buffer_full(appserver_connection connection) = 0;
  virtual void on_buffer_drain(appserver_connection connection) = 0;
  virtual void on_failed(Failure failure, std::string_view why,
                         std::optional<milliseconds> again) = 0;
};

// Loop thread only; outlives the loop's run.
class Connector final {
 public:
  using ConnectId = std::uint64_t;  // 0 is none; never reused

  // Under way or open at a time, with those that were cancelled and still send what waits.
  static constexpr std::size_t kMost = 16'384;
  static constexpr std::chrono::seconds kStable{10};
  static constexpr milliseconds kLeastDelay{10};

  Connector(boost::asio::io_context& context, StreamServer& streams, std::size_t most = kMost);
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  ~Connector();

  // Events come later, never within this call, and not after cancel(). 0: as many as may be are
  // there, or stop() was called. What is wrong with the URL or the options is told by on_failed.
  ConnectId start(std::string url, ConnectOptions options, std::shared_ptr<ConnectEvents> events);
  // No event any more; an open connection is closed behind what waits to be sent. False: it is
  // over.
  bool cancel(ConnectId connect);
  // Ends attempts, uncalled, and makes no more; open connections stay until StreamServer closes
  // them.
  void stop();

  std::size_t size() const { return links_.size(); }

 private:
  class Link;

  std::size_t in_use() const;

  boost::asio::io_context& context_;
  StreamServer& streams_;
  Authorities authorities_;
  std::minstd_rand random_;
  std::unordered_map<ConnectId, std::shared_ptr<Link>> links_;
  std::size_t most_;
  std::size_t open_ = 0;  // of links_
  ConnectId last_ = 0;
  bool stopped_ = false;
};

}  // namespace appserver::net::client
