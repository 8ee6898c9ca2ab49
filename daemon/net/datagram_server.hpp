// The datagrams of a worker's udp:// listeners. The sockets are the slots', shared with the
// predecessor and the successor: what nobody has read stays in the kernel for whoever reads next.
#pragma once

#include <appserver/abi/udp.h>

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/own_address.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::net {

// The plugin. False: it failed. No exception; calls of DatagramServer::send, hold and release may
// be made from within.
class DatagramHandler {
 public:
  virtual ~DatagramHandler() = default;
  virtual bool on_datagram(const appserver_datagram& datagram) = 0;
};

class DatagramSocket;

// All members on the loop's thread, and none but the three above from within the handler.
class DatagramServer final {
 public:
  // The longest that UDP carries, headers not counted.
  static constexpr std::size_t kLongest = 65'535;
  static constexpr std::size_t kMostHeld = 1'000'000;

  // `max_message`: of a longer datagram only the beginning is read. `complain` gets a line for the
  // log, at most one a second of each kind.
  DatagramServer(boost::asio::io_context& context, std::size_t max_message,
                 DatagramHandler& handler, telemetry::WorkerPage& page,
                 std::function<void(const std::string&)> complain);
  ~DatagramServer();
  DatagramServer(const DatagramServer&) = delete;
  DatagramServer& operator=(const DatagramServer&) = delete;

  // A bound, non-blocking socket of a slot, not read from until start(). `listener` is its address
  // as the configuration has it. Answers to what came in at an address leave by the first socket
  // that was added for it, which is kept open for them until the end. What says that it comes from
  // an address of these listeners is dropped: an echo of it would go round for ever.
  void add(std::uint32_t slot, os::Fd socket, const std::string& listener);
  void start(std::uint32_t slot);
  // Reads no more from the slot's sockets; with `empty_queue`, only once what lies in them now is
  // served: for sockets that nobody reads afterwards.
  void stop(std::uint32_t slot, bool empty_queue);
  void stop_all(bool empty_queue);

  // To be called each TimerWheel::kTick: tells what had to be dropped.
  void tick();

  // Answers that are still to come; a drain waits for them.
  std::size_t held() const { return held_; }
  void on_fewer_held(std::function<void()> call) { on_fewer_ = std::move(call); }

  // Host side of "udp/1"; see abi/udp.h.
  std::int32_t send(const appserver_udp_peer& peer, std::string_view data);
  std::int32_t hold();
  std::int32_t release();

 private:
  friend class DatagramSocket;

  struct Listener {
    std::string text;
    os::Fd sender;
    OwnAddress own;
  };

  std::uint32_t listener_number(const std::string& text, const os::Fd& socket);
  void deliver(const appserver_datagram& datagram);
  // Whether it says that it comes from a listener of this worker, or would go to one.
  bool is_own(const DatagramPeer& peer) const;

  boost::asio::io_context& context_;
  std::size_t max_message_;
  DatagramHandler& handler_;
  telemetry::WorkerPage& page_;
  std::function<void(const std::string&)> complain_;
  std::function<void()> on_fewer_;
  std::vector<Listener> listeners_;
  std::vector<char> buffer_;  // from the first socket on; one for all, since each turn empties it
  std::map<std::uint32_t, std::vector<std::unique_ptr<DatagramSocket>>> sockets_;
  std::size_t held_ = 0;
  std::uint64_t forged_ = 0;  // since the last tick
};

}  // namespace appserver::net
