// A worker: a plugin, the servers that bring it requests, and the channel to the supervisor.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "channel/boot.hpp"
#include "channel/message.hpp"
#include "gateway/gateway.hpp"
#include "gateway/link_door.hpp"
#include "gateway/link_keys.hpp"
#include "net/acceptor.hpp"
#include "net/complaints.hpp"
#include "net/datagram_server.hpp"
#include "net/http_server.hpp"
#include "net/proxy_gate.hpp"
#include "net/stream_server.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/handover.hpp"
#include "worker/heap_trim.hpp"
#include "worker/listeners.hpp"
#include "worker/plugin_host.hpp"
#include "worker/worker_log.hpp"

namespace appserver::worker {

// One a process, for its life; starting -> ready -> draining -> gone.
class Worker final {
 public:
  // `terminated` becomes readable when the process is told to end by a signal.
  Worker(const channel::Boot& boot, os::Fd channel_socket, channel::Message boot_message,
         os::Fd terminated);

  // Throws where the plugin cannot start.
  void start();
  void run() { context_.run(); }

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  using milliseconds = std::chrono::milliseconds;

  void say(channel::Kind kind, std::uint64_t number = 0, const std::string& text = {});
  void read_channel();
  void on_channel();
  void handle(channel::Message message);
  void add_listeners(std::uint32_t slot, std::vector<os::Fd> sockets);
  void begin(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener);
  void serve(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener);
  void go_on_with(Handed handed);
  bool has_room() const { return connections() < max_connections_; }
  std::size_t connections() const {
    return server_.connections() + streams_.connections() + gate_.connections();
  }
  // Null in a worker of another group than a gateway.
  std::unique_ptr<gateway::Gateway> make_gateway();
  bool speaks_streams() const { return gateway_ || host_.speaks_streams(); }
  void connection_ended();
  void complain(const std::string& what) { complaints_.add(what); }
  void complain_of_proxy_header(std::string_view remote, std::string_view local);
  void complain_of_uncompressed();
  void check_plugin();
  void start_accepting(std::uint32_t slot);
  void stop_accepting(std::uint32_t slot, bool empty_queue);
  void stop_accepting_all(bool empty_queue);
  void ask_gateway(std::uint64_t number, const os::Fd& request);
  void add_link(os::Fd socket, std::uint64_t number);
  // Of a gateway group that business workers of other daemons may connect to.
  void open_door();
  void renew_link_keys(const os::Fd& file);
  void leave_gateway();
  // Also where gateway workers of other daemons cannot be reached.
  void say_ready_when_linked();
  void count_gateway();
  void adopt(os::Fd predecessor);
  void renew_certificates(const os::Fd& file);
  void drain(milliseconds timeout, os::Fd successor);
  void drain_to(os::Fd successor);
  void send_state(std::uint64_t number);
  void deadline_reached();
  void check_drained();
  bool outbound_is_closed();
  void finish();
  void tick();
  void watch_termination();
  milliseconds drain_timeout() const { return boot_.group.reload.drain_timeout; }

  boost::asio::io_context context_{1};
  const channel::Boot& boot_;
  telemetry::WorkerPage& page_;
  WorkerLog log_;
  net::Complaints complaints_{
      [this](const std::string& line) { log_.write(config::LogLevel::warning, line); }};
  PluginHost host_;
  std::uint32_t max_connections_;
  net::HttpServer server_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<gateway::LinkDoor> door_;  // null where nobody may come in
  net::StreamServer streams_;
  net::ProxyGate gate_;
  gateway::LinkKeysPtr link_keys_;         // null without a link to other daemons
  std::shared_ptr<net::tls::Server> tls_;  // null without TLS
  net::DatagramServer datagrams_;
  const Listeners listeners_{boot_.group, tls_};
  Descriptor channel_;
  Descriptor terminated_;
  boost::asio::steady_timer tick_{context_};
  boost::asio::steady_timer deadline_{context_};
  boost::asio::steady_timer farewell_{context_};  // of outbound connections
  std::map<std::uint32_t, std::vector<std::unique_ptr<net::Acceptor>>> acceptors_;
  std::set<std::uint32_t> slots_;  // whose sockets are here
  std::unique_ptr<HandoverSender> sender_;
  std::list<std::unique_ptr<HandoverReceiver>> receivers_;
  std::uint64_t told_uncompressed_ = 0;
  std::chrono::steady_clock::time_point told_uncompressed_at_{};
  std::uint64_t cut_ = 0;
  HeapTrim heap_;
  bool serving_ = false;
  bool draining_ = false;
  bool leaves_state_ = false;  // right before its end, to the slot's next worker
  bool check_posted_ = false;
  bool says_farewell_ = false;
  bool said_farewell_ = false;
  bool cut_off_ = false;
  bool finished_ = false;
};

}  // namespace appserver::worker
