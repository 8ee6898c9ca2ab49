// What a gateway worker does: it holds clients, takes their events to business workers, and does
// what these ask of it.
#pragma once

#include <appserver/abi/stream.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/client_table.hpp"
#include "gateway/link.hpp"
#include "gateway/router.hpp"
#include "net/stream_server.hpp"

namespace appserver::gateway {

// Who it is to business workers.
struct Identity {
  std::uint64_t instance = 0;
  std::uint32_t slot = 0;
  std::uint32_t workers = 1;  // of its group
  std::string group;
};

struct GatewayOptions {
  Router::Limits routes;
  milliseconds ping_interval{0};  // of what is no WebSocket; 0: never
  std::uint32_t ping_limit = 0;   // silent intervals before a client is cut; 0: none
  std::string ping_data;          // sent each interval; empty: nothing
};

// All members on the loop's thread.
class Gateway final : public net::StreamHandler, private Router::Sink {
 public:
  using Complain = std::function<void(const std::string& what)>;
  // Called with each part of an answer, where one is wanted.
  using Give = std::function<void(const Answer&)>;
  // What became of a command, beyond its answer.
  struct Effect {
    std::size_t clients = 0;  // that it was about
    std::size_t failed = 0;   // of them, for which it was not done
  };

  Gateway(boost::asio::io_context& context, Identity identity, const GatewayOptions& options,
          Complain complain);
  ~Gateway() override;
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  void start(net::StreamServer& server) { server_ = &server; }
  // A connected stream socket to a business worker of this daemon.
  void add_link(os::Fd socket) { add_link(LinkSocket(context_, std::move(socket)), {}); }
  // To one of another daemon, which has proved who it is: it is to be heard of all `timeout` long.
  void add_link(LinkSocket socket, std::optional<milliseconds> timeout);
  // So many workers has its group from now on.
  void resize(std::uint32_t workers);
  // Another worker takes its place, or none: business workers of other daemons look for it.
  void leave();
  // To be called each net::TimerWheel::kTick.
  void tick();
  // Does what business code asks, or somebody outside; see Verb.
  Effect run(const Command& command, const Give& give);
  std::uint64_t instance() const { return identity_.instance; }
  // Whether each event of each client, the closes too, is acknowledged or lost.
  bool is_done() const { return router_.clients() == 0; }

  struct Counts {
    std::size_t clients = 0;
    std::size_t workers = 0;        // business workers that take events
    std::size_t parked_events = 0;  // that wait for one
    std::size_t parked_bytes = 0;
    std::uint64_t lost = 0;  // messages, that waited too long or were not to be repeated
    std::uint64_t cut = 0;   // clients that did not take what was sent to them
  };
  Counts counts() const;

  bool on_connect(appserver_connection connection) override;
  WebSocketAnswer on_websocket_open(appserver_connection connection,
                                    const appserver_http_request& request) override;
  Outcome on_message(appserver_connection connection, std::uint32_t kind,
                     std::string_view message) override;
  void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                std::string_view text) override;
  void on_buffer_full(appserver_connection connection) override;
  void on_buffer_drain(appserver_connection connection) override;
  std::optional<std::string> on_handover(appserver_connection connection) override;
  bool on_adopt(appserver_connection connection, std::string_view state) override;
  bool has_own_framing() const override { return false; }
  std::optional<std::uint64_t> measure(appserver_connection connection,
                                       std::string_view data) override;

 private:
  struct Peer {
    std::shared_ptr<Link> link;
    std::string name;  // of the business worker, for people
    bool ready = false;
  };
  void opened(LinkId id, const Hello& hello);
  // Of a client until nobody hears of it any more: its connection ends before.
  struct Facts {
    std::string remote, local, listener, protocol;
  };
  // What business workers may still be told of a client that has left.
  struct Departed {
    std::string uid;
    ClientTable::Session session;
  };
  struct Silence {
    std::uint64_t bytes_in = 0;
    std::uint32_t intervals = 0;
  };

  void assign(LinkId link, Serial client) override;
  void deliver(LinkId link, std::uint64_t number, Serial client, const Event& event) override;
  void hold(Serial client, bool held) override;
  void lost(Serial client, const Event& event) override;
  void over(Serial client) override;

  Serial add_client(appserver_connection connection);
  Serial serial_of(appserver_connection connection);
  void add_event(Serial client, Event event);
  const ClientTable::Session& session_of(Serial client) const;
  bool on_link_message(LinkId id, std::string_view message);
  void link_ended(LinkId id, const std::string& why);
  void ping_clients();
  void ping(Serial client, appserver_connection connection);

  // What run() does, by the verb.
  std::vector<Serial> targets(const Target& target);
  Effect send_to(const Command& command);
  Effect close(const Command& command);
  Effect destroy(const Command& command);
  TableResult change(Serial client, const Command& command, std::uint64_t& version);
  void tell_worker_of(Serial client, Verb verb);
  Effect give_change(const Command& command, const Give& give);
  void give_clients(const Command& command, const Give& give);
  void give_names(const Command& command, const Give& give);
  void give_count(const Command& command, const Give& give);
  std::size_t count_of(const Target& target);
  std::vector<NamedCount> named(const Command& command);
  void answer(LinkId id, const Answer& answer);

  boost::asio::io_context& context_;
  Identity identity_;
  GatewayOptions options_;
  Complain complain_;
  net::StreamServer* server_ = nullptr;
  LeastLoaded policy_;
  ClientTable table_;
  Router router_{options_.routes, policy_, *this};
  std::map<LinkId, Peer> peers_;
  std::unordered_map<Serial, std::uint64_t> told_;  // version of the session that its worker knows
  std::unordered_map<Serial, Facts> facts_;
  std::unordered_map<Serial, Departed> departed_;
  std::unordered_map<Serial, Silence> silences_;
  LinkId last_link_ = 0;
  Serial last_client_ = 0;
  Time next_expiry_{};
  Time next_ping_{};
  std::uint64_t lost_ = 0;
  std::uint64_t cut_ = 0;
};

}  // namespace appserver::gateway
