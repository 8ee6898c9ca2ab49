// What a business worker does with the gateway workers it is linked to: it gets the events of their
// clients, acknowledges them, and asks them to do things.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/client_id.hpp"
#include "gateway/link.hpp"
#include "gateway/requests.hpp"

namespace appserver::gateway {

// A client that is with this worker.
struct KnownClient {
  std::string remote;
  std::string local;
  std::string listener;
  std::string protocol;
  std::string uid;  // empty: none
  ClientTable::Session session;
};

// Names one event. Its number is of no other event of that gateway worker, over whichever link.
struct EventId {
  std::uint64_t instance = 0;  // the gateway's
  std::uint64_t number = 0;
};

struct ClientEvent {
  EventId id;
  ClientId client;
  EventKind kind{};
  std::uint8_t detail = 0;  // as Event has it
  bool redelivered = false;
  std::string_view body;
};

// Whom something is about.
struct Audience {
  Scope scope = Scope::all;
  std::vector<ClientId> clients;
  std::vector<std::string_view> names;
};

// All members on the loop's thread.
class Business final {
 public:
  // That waits for one gateway worker; then commands are refused.
  static constexpr std::size_t kMostUnsent = std::size_t{64} << 20;
  // Of clients told of at once when their gateway worker is gone.
  static constexpr std::size_t kFarewells = 256;

  struct Hooks {
    // Gives whether it is done with the event; else acknowledge() is to follow.
    std::function<bool(const ClientEvent&)> event;
    std::function<void(const std::string& what)> complain;
    // Something has ended that is_drained looks at.
    std::function<void()> fewer;
  };

  struct Identity {
    std::uint32_t slot = 0;
    std::string group;
  };

  Business(boost::asio::io_context& context, Identity identity, Hooks hooks);
  ~Business();
  Business(const Business&) = delete;
  Business& operator=(const Business&) = delete;

  // What becomes of a link. None is called from within a member of this class but add_link().
  struct Watch {
    std::function<void(const Hello& peer)> opened = [](const Hello&) {};
    std::function<void(std::uint32_t workers)> resized = [](std::uint32_t) {};
    // Another worker takes the peer's place; the link goes on.
    std::function<void()> leaving = [] {};
    // Once, and last; not after stop(). `is_told`: people have been told.
    std::function<void(const std::string& why, bool is_told)> ended;
  };

  // A connected stream socket to a gateway worker of this daemon. `ended`: the link has.
  void add_link(os::Fd socket, std::function<void()> ended = {});
  // To one of another daemon, which has proved who it is: it is to be heard of all `timeout` long.
  void add_link(LinkSocket socket, milliseconds timeout, Watch watch);
  // So many gateway workers there are, as far as is known; without them answers are partial.
  void expect(std::size_t gateways) { expected_ = gateways; }
  // From now on it takes events.
  void begin();
  // It takes no new ones.
  void drain();
  // All that it was given is acknowledged, and the gateways know.
  bool is_drained() const;
  // Of drain(): what is not acknowledged yet goes to others.
  void stop();
  // To be called each net::TimerWheel::kTick.
  void tick();

  // False: it is acknowledged already, or who gave it is gone.
  bool acknowledge(EventId event);
  std::size_t unacknowledged() const;

  // Null: it is not with this worker. Until the next event.
  const KnownClient* find(ClientId client) const;
  std::size_t gateways() const;  // that there is a link to
  std::size_t known_gateways() const;

  enum class Sent { sent, no_gateway, full };
  // Of `command` only what is not about whom is read. No answer.
  Sent tell(const Audience& audience, const Command& command,
            const std::vector<ClientId>& except = {});
  // `done` is called once, not within this call, at the latest after `timeout`; never after
  // forget(). 0: `done` will not be called, and `sent` says why.
  std::uint64_t ask(const Audience& audience, const Command& command, milliseconds timeout,
                    Requests::Done done, Sent& sent);
  void forget(std::uint64_t request) { requests_.forget(request); }

 private:
  struct Gate {
    std::shared_ptr<Link> link;
    Watch watch;
    std::string name;            // of the gateway worker, for people
    std::uint64_t instance = 0;  // 0: it has not said hello
    std::uint32_t workers = 1;   // of its group
    std::unordered_map<Serial, KnownClient> clients;
    std::vector<std::uint64_t> acknowledged;  // not told yet
    std::uint64_t base = 0;        // what the link's numbers count from in those of EventId
    std::uint64_t last_event = 0;  // of the link
    std::deque<bool> owing;        // of the last events, whether each is not acknowledged
    std::size_t owed = 0;          // of them
    bool ready = false;            // it was told so
    bool drained = false;
  };
  using Gates = std::map<std::uint64_t, Gate>;  // by a number of their link

  std::uint64_t make_link(LinkSocket socket, Watch watch);
  void opened(std::uint64_t id, const Hello& peer);
  bool on_link_message(std::uint64_t id, std::string_view message);
  bool on_assign(Gate& gate, std::string_view message);
  bool on_event(std::uint64_t id, std::string_view message);
  bool on_answer(Gate& gate, std::string_view message);
  void link_ended(std::uint64_t id, const std::string& why);
  bool is_gateway(const Hello& peer);
  static bool settle(Gate& gate, std::uint64_t number);
  // Later in the loop, unless this has ended.
  void later(std::function<void()> call);
  void say_farewells();
  void say_ready(Gate& gate);
  void tell_acknowledged(Gate& gate);
  void remember(Gate& gate, const Command& command);
  Gate* find_gate(std::uint64_t instance);
  // The gates that a command goes to, each with its own clients.
  std::vector<std::pair<Gate*, Target>> split(const Audience& audience);

  boost::asio::io_context& context_;
  Identity identity_;
  Hooks hooks_;
  Requests requests_;
  Gates gates_;
  std::uint64_t last_link_ = 0;
  std::uint64_t last_event_ = 0;
  std::vector<std::pair<ClientId, KnownClient>> farewells_;  // whose gateway worker is gone
  const KnownClient* leaving_ = nullptr;                     // whose close is being told
  ClientId leaving_id_{};
  std::size_t expected_ = 1;
  bool taking_ = false;
  bool draining_ = false;
  std::shared_ptr<const char> alive_ = std::make_shared<const char>('\0');
};

}  // namespace appserver::gateway
