// Which business worker a client's events go to, and what waits for one: in order per client, each
// event once, or once more and marked so where a worker ended before it had acknowledged. Pure:
// time is handed in, and what is to be done goes to a Sink.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gateway/client_table.hpp"

namespace appserver::gateway {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

// To a business worker, for as long as it is connected; never reused. 0 is none.
using LinkId = std::uint64_t;

enum class EventKind : std::uint8_t { connect = 1, websocket_open = 2, message = 3, close = 4 };

struct Event {
  EventKind kind{};
  std::uint8_t detail = 0;  // of a message: its kind; of a close: its reason; as abi/stream.h
  std::string body;
  bool redelivered = false;  // a worker that has ended may have seen it
};

// Picks the link for a client that has none. Called with at least one candidate.
class RoutePolicy {
 public:
  virtual ~RoutePolicy() = default;
  struct Candidate {
    LinkId link;
    std::size_t clients;
    std::size_t unacknowledged;
  };
  // An index into `candidates`.
  virtual std::size_t pick(const std::vector<Candidate>& candidates, Serial client) = 0;
};

class Router final {
 public:
  struct Limits {
    std::size_t link_events = 1024;  // that one link has not acknowledged
    std::size_t link_bytes = std::size_t{4} << 20;
    std::size_t client_events = 64;                    // of one client, alike
    std::size_t client_bytes = std::size_t{1} << 20;   // that wait of one client before it is held
    std::size_t parked_bytes = std::size_t{64} << 20;  // that wait in all before every client is
    milliseconds park_timeout{30'000};  // for a worker, where there is none; then it is lost
    bool at_least_once = true;
  };

  // Must not call the router from within.
  class Sink {
   public:
    virtual ~Sink() = default;
    // `client` is with `link` from now on; its events follow.
    virtual void assign(LinkId link, Serial client) = 0;
    // With the link's next number, from 1. Unread after the call.
    virtual void deliver(LinkId link, std::uint64_t number, Serial client, const Event& event) = 0;
    // Whether nothing more is read from the client; each call is a change.
    virtual void hold(Serial client, bool held) = 0;
    // A message that waited too long; or, without its body, one that was given to a worker that has
    // ended and is not to be given again.
    virtual void lost(Serial client, const Event& event) = 0;
    // Nobody hears of the client any more.
    virtual void over(Serial client) = 0;
  };

  // What an event costs beside its body while it waits.
  static constexpr std::size_t kOverhead = 128;

  Router(const Limits& limits, RoutePolicy& policy, Sink& sink)
      : limits_(limits), policy_(policy), sink_(sink) {}
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // It takes events.
  void link_ready(LinkId link);
  // It takes no new ones, and acknowledges those that it was given.
  void link_draining(LinkId link, Time now);
  // What it has not acknowledged goes to others, or is lost.
  void link_gone(LinkId link, Time now);
  // False: the link was given no such event, or has acknowledged it before.
  bool acknowledge(LinkId link, std::uint64_t number);

  // `connect` is a client's first event, `close` its last.
  void add(Serial client, Event event, Time now);
  // Gives up what has waited too long. To be called about once a second.
  void expire(Time now);
  // No new client should come in: parked_bytes wait.
  bool is_full() const { return all_held_; }

  // 0: none.
  LinkId link_of(Serial client) const;
  std::size_t unacknowledged(LinkId link) const;
  std::size_t clients() const { return routes_.size(); }
  std::size_t parked_events() const { return parked_events_; }
  std::size_t parked_bytes() const { return parked_bytes_; }
  std::size_t ready_links() const;

 private:
  struct Waiting {
    Event event;
    Time since;
  };
  struct Queue {
    std::deque<Waiting> events;
    std::size_t bytes = 0;
    bool held = false;
  };
  struct Route {
    LinkId link = 0;
    std::uint32_t unacknowledged = 0;
    bool stalled = false;          // it stands in its link's list
    bool closed = false;           // a worker has acknowledged its close
    std::unique_ptr<Queue> queue;  // null: nothing waits
  };
  struct Given {
    Serial client;
    Event event;
    std::size_t cost;
    bool acknowledged = false;
  };
  struct Link {
    bool draining = false;
    std::uint64_t next_number = 1;
    std::deque<Given> given;  // from the first that is not acknowledged on
    std::size_t unacknowledged = 0;
    std::size_t bytes = 0;  // of them
    std::size_t clients = 0;
    std::deque<Serial> stalled;  // clients whose events wait for room
  };
  using Routes = std::unordered_map<Serial, Route>;

  static std::size_t cost(const Event& event) { return event.body.size() + kOverhead; }
  bool has_room(const Link& link) const;
  // Behind what it was given before, and within the bounds.
  bool may_be_given(const Route& route) const;
  void park(Serial client, Route& route, Waiting waiting, bool in_front);
  // Off the queue: events of so many bytes.
  void unpark(Serial client, Route& route, std::size_t events, std::size_t bytes);
  void expire(Serial client, Route& route, Time now);
  // Its connect and close alone are left of it, and nobody has heard of it.
  static bool is_unheard_of(const Queue& queue);
  static bool is_over(const Route& route) {
    return route.closed && route.unacknowledged == 0 && !route.queue;
  }
  void forget(Routes::iterator route);
  void hold_all();
  void release_all();
  // Picks a link, or none.
  void assign(Serial client, Route& route);
  void leave_link(Route& route);
  // Gives the link what waits of the client, as far as it may get.
  void pump(Serial client, Route& route);
  void pump_stalled(Link& link);
  void give(Serial client, Route& route, Event event);
  void give_back(std::deque<Given> given, Time now);

  Limits limits_;
  RoutePolicy& policy_;
  Sink& sink_;
  std::map<LinkId, Link> links_;
  Routes routes_;
  std::unordered_set<Serial> waiting_;  // clients with a queue
  std::size_t parked_events_ = 0;
  std::size_t parked_bytes_ = 0;
  Time without_worker_{};  // since when, where there is none
  bool all_held_ = false;
};

// The link with the fewest clients; of those the one that owes the fewest acknowledgements.
class LeastLoaded final : public RoutePolicy {
 public:
  std::size_t pick(const std::vector<Candidate>& candidates, Serial client) override;
};

}  // namespace appserver::gateway
