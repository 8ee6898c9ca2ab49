// Where the connections of listeners behind a proxy wait until it has said whose they are.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/complaints.hpp"
#include "net/connection_table.hpp"
#include "net/handed.hpp"
#include "net/stream_listener.hpp"
#include "net/timer_wheel.hpp"
#include "os/address_range.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::net {

using std::chrono::milliseconds;

class ProxiedConnection;

// Takes the PROXY header off each connection, and not a byte behind it: what follows, a handshake
// of TLS as well, is still in the kernel when the connection goes on. One that is from nobody whom
// we trust, or whose header is none or does not come in time, is closed, counted as refused and
// told. All members on the loop's thread.
class ProxyGate final {
 public:
  using Listener = std::shared_ptr<const StreamListener>;

  // Must not destroy the gate.
  struct Hooks {
    // With its ends where the header has told them; nothing else of it is known.
    std::function<void(Handed fresh, Listener listener)> passed;
    std::function<void(const std::string& what)> complain;  // at most once a second
    // A connection has passed, ended or was handed over.
    std::function<void()> fewer;
  };

  // How long a silent connection is still waited for in a polite drain.
  static constexpr milliseconds kLinger{1'000};

  // `timeout`: for a connection's whole header.
  ProxyGate(boost::asio::io_context& context, std::vector<os::AddressRange> trusted,
            milliseconds timeout, telemetry::WorkerPage& page, Hooks hooks);
  ~ProxyGate();
  ProxyGate(const ProxyGate&) = delete;
  ProxyGate& operator=(const ProxyGate&) = delete;

  // One that is new: connected, non-blocking.
  void accept(os::Fd connection, Listener listener);
  // One of kind `begun`, from a predecessor who has found its peer to be trusted.
  void go_on(Handed begun, Listener listener);

  std::size_t connections() const { return table_.count(); }
  // To be called each TimerWheel::kTick.
  void tick() {
    wheel_.tick();
    complaints_.tick();
  }
  // What was not told yet, for the rate of its lines.
  void tell_rest() { complaints_.tell_rest(); }

  // From now on each connection goes to `sink`, with what has come of its header. The sink may call
  // drain_politely() and go_on(): the handover is over then.
  using Sink = std::function<void(Handed connection)>;
  void hand_over(Sink sink);
  // From now on a connection ends that stays silent for kLinger.
  void drain_politely();
  // Ends everything at once: nothing was served on any.
  void cut();

 private:
  friend class ProxiedConnection;

  void add(Handed begun, Listener listener);
  void refuse(std::string_view peer, const StreamListener& listener, std::string_view why);
  void connection_ended();

  boost::asio::io_context& context_;
  const std::vector<os::AddressRange> trusted_;
  const milliseconds timeout_;
  telemetry::WorkerPage& page_;
  const Hooks hooks_;
  TimerWheel wheel_;
  std::vector<char> scratch_;
  ConnectionTable<ProxiedConnection> table_;
  Sink sink_;
  Complaints complaints_;
  bool polite_drain_ = false;
};

}  // namespace appserver::net
