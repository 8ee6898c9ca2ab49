#include "gateway/business.hpp"

#include <appserver/abi/stream.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <set>
#include <utility>

#include "gateway/clock.hpp"

namespace appserver::gateway {
Business::Business(boost::asio::io_context& context, Identity identity, Hooks hooks)
    : context_(context), identity_(std::move(identity)), hooks_(std::move(hooks)) {}

Business::~Business() { stop(); }

void Business::add_link(os::Fd socket, std::function<void()> ended) {
  Watch watch;
  watch.ended = [this, ended = std::move(ended)](const std::string& why, bool is_told) {
    if (!is_told) hooks_.complain(fmt::format("a link to a gateway worker has ended: {}", why));
    if (ended) ended();
  };
  make_link(LinkSocket(context_, std::move(socket)), std::move(watch));
}

void Business::add_link(LinkSocket socket, milliseconds timeout, Watch watch) {
  const std::uint64_t id = make_link(std::move(socket), std::move(watch));
  gates_.at(id).link->watch_peer(timeout);
}

std::uint64_t Business::make_link(LinkSocket socket, Watch watch) {
  const std::uint64_t id = ++last_link_;
  const auto link = std::make_shared<Link>(context_, std::move(socket));
  gates_[id].link = link;
  gates_[id].watch = std::move(watch);
  Hello hello;
  hello.role = Role::business;
  hello.slot = identity_.slot;
  hello.group = identity_.group;
  Link::Hooks hooks;
  hooks.open = [this, id](const Hello& peer) { opened(id, peer); };
  hooks.message = [this, id](std::string_view message) { return on_link_message(id, message); };
  hooks.batch_end = [this, id] { tell_acknowledged(gates_.at(id)); };
  hooks.drained = [] {};
  hooks.ended = [this, id](const std::string& why) { link_ended(id, why); };
  link->start(hello, std::move(hooks));
  return id;
}

void Business::opened(std::uint64_t id, const Hello& peer) {
  Gate& gate = gates_.at(id);
  if (!is_gateway(peer)) {
    const std::string why =
        fmt::format("what calls itself {}/{} is no gateway worker, or one that there is a link to",
                    peer.group, peer.slot);
    append_refused(gate.link->out(), why);
    gate.link->close();
    const Watch watch = std::move(gate.watch);
    gates_.erase(id);
    return watch.ended(why, false);
  }
  gate.instance = peer.instance;
  gate.base = last_event_;
  gate.workers = peer.workers;
  gate.name = fmt::format("{}/{}", peer.group, peer.slot);
  if (taking_ && !draining_) say_ready(gate);
  gate.watch.opened(peer);
}

// Events and clients are told apart by the instance.
bool Business::is_gateway(const Hello& peer) {
  return peer.role == Role::gateway && peer.instance != 0 && find_gate(peer.instance) == nullptr;
}

void Business::later(std::function<void()> call) {
  boost::asio::post(context_, [alive = std::weak_ptr(alive_), call = std::move(call)] {
    if (!alive.expired()) call();
  });
}

void Business::say_ready(Gate& gate) {
  if (std::exchange(gate.ready, true)) return;
  append_bare(gate.link->out(), LinkKind::ready);
  gate.link->flush();
}

void Business::begin() {
  taking_ = true;
  for (auto& [id, gate] : gates_) {
    if (gate.instance != 0) say_ready(gate);
  }
}

void Business::drain() {
  if (std::exchange(draining_, true)) return;
  for (auto& [id, gate] : gates_) {
    if (!gate.ready) continue;
    append_bare(gate.link->out(), LinkKind::drain);
    gate.link->flush();
  }
}

bool Business::is_drained() const {
  return farewells_.empty() && std::ranges::all_of(gates_, [](const auto& each) {
           const Gate& gate = each.second;
           return !gate.ready || (gate.drained && gate.owed == 0 && gate.acknowledged.empty() &&
                                  gate.link->unsent() == 0);
         });
}

void Business::stop() {
  for (auto& [id, gate] : gates_) {
    tell_acknowledged(gate);
    gate.link->close();
  }
  gates_.clear();
  farewells_.clear();
  requests_.clear();
}

void Business::tick() {
  requests_.expire(now());
  if (draining_) hooks_.fewer();
}

bool Business::on_link_message(std::uint64_t id, std::string_view message) {
  Gate& gate = gates_.at(id);
  const auto kind = kind_of(message);
  if (!kind) return false;
  switch (*kind) {
    case LinkKind::assign:
      return on_assign(gate, message);
    case LinkKind::event:
      return on_event(id, message);
    case LinkKind::answer:
      return on_answer(gate, message);
    case LinkKind::drained:
      if (!draining_) return false;
      gate.drained = true;
      hooks_.fewer();
      return true;
    case LinkKind::workers: {
      const auto workers = read_workers(message);
      if (!workers) return false;
      gate.workers = *workers;
      gate.watch.resized(*workers);
      return true;
    }
    case LinkKind::leaving:
      gate.watch.leaving();
      return true;
    default:
      return false;
  }
}

bool Business::on_assign(Gate& gate, std::string_view message) {
  const auto assign = read_assign(message);
  if (!assign) return false;
  const ClientFacts& facts = assign->facts;
  gate.clients[assign->client] = {
      std::string(facts.remote),   std::string(facts.local),
      std::string(facts.listener), std::string(facts.protocol),
      std::string(facts.uid),      {std::string(assign->session.bytes), assign->session.version}};
  return true;
}

bool Business::on_event(std::uint64_t id, std::string_view message) {
  Gate& gate = gates_.at(id);
  const auto event = read_event(message);
  if (!event) return false;
  const auto known = gate.clients.find(event->client);
  if (known == gate.clients.end()) return false;
  if (event->session)
    known->second.session = {std::string(event->session->bytes), event->session->version};
  if (event->number != gate.last_event + 1) return false;
  gate.last_event = event->number;
  gate.owing.push_back(true);
  ++gate.owed;
  last_event_ = gate.base + event->number > last_event_ ? gate.base + event->number : last_event_;
  ClientEvent told;
  told.id = {gate.instance, gate.base + event->number};
  told.client = {gate.instance, event->client};
  told.kind = event->kind;
  told.detail = event->detail;
  told.redelivered = event->redelivered;
  told.body = event->body;
  const bool done = hooks_.event(told);
  const auto still = gates_.find(id);  // the hook may have called stop()
  if (still == gates_.end()) return true;
  if (event->kind == EventKind::close) still->second.clients.erase(event->client);
  if (done) acknowledge(told.id);
  return true;
}

bool Business::settle(Gate& gate, std::uint64_t number) {
  const std::uint64_t first = gate.last_event - gate.owing.size() + 1;
  if (number < first || number > gate.last_event) return false;
  const auto at = gate.owing.begin() + static_cast<std::ptrdiff_t>(number - first);
  if (!*at) return false;
  *at = false;
  --gate.owed;
  while (!gate.owing.empty() && !gate.owing.front()) gate.owing.pop_front();
  return true;
}

bool Business::acknowledge(EventId event) {
  Gate* const gate = find_gate(event.instance);
  if (gate == nullptr || event.number <= gate->base) return false;
  const std::uint64_t number = event.number - gate->base;
  if (!settle(*gate, number)) return false;
  gate->acknowledged.push_back(number);
  if (gate->acknowledged.size() >= kMaxAcknowledged) {
    tell_acknowledged(*gate);
  } else if (gate->acknowledged.size() == 1) {
    // The end of a batch tells it, or else this.
    later([this, instance = event.instance] {
      if (Gate* const found = find_gate(instance)) tell_acknowledged(*found);
      if (draining_) hooks_.fewer();
    });
  }
  return true;
}

void Business::tell_acknowledged(Gate& gate) {
  if (gate.acknowledged.empty()) return;
  append_acknowledge(gate.link->out(), gate.acknowledged);
  gate.acknowledged.clear();
  gate.link->flush();
}

std::size_t Business::unacknowledged() const {
  std::size_t sum = 0;
  for (const auto& [id, gate] : gates_) sum += gate.owed;
  return sum;
}

bool Business::on_answer(Gate& gate, std::string_view message) {
  const auto answer = read_answer(message);
  return answer && requests_.answer(gate.instance, *answer);
}

void Business::link_ended(std::uint64_t id, const std::string& why) {
  auto gate = gates_.extract(id);
  const Watch watch = std::move(gate.mapped().watch);
  if (gate.mapped().instance == 0) return watch.ended(why, false);
  // As a daemon stops, its gateway may go first: nothing is amiss.
  if (!draining_ || gate.mapped().owed > 0) {
    hooks_.complain(
        fmt::format("the link to gateway worker {} has ended: {}; {} clients of it are gone",
                    gate.mapped().name, why, gate.mapped().clients.size()));
  }
  const std::uint64_t instance = gate.mapped().instance;
  const bool idle = farewells_.empty();
  for (auto& [serial, client] : gate.mapped().clients)
    farewells_.emplace_back(ClientId{instance, serial}, std::move(client));
  requests_.gateway_gone(instance);
  if (idle && !farewells_.empty()) later([this] { say_farewells(); });
  hooks_.fewer();
  watch.ended(why, true);
}

void Business::say_farewells() {
  std::string body;
  append_closing(body, {0, "the link to its gateway worker has ended"});
  for (std::size_t i = 0; i < kFarewells && !farewells_.empty(); ++i) {
    const auto [id, client] = std::move(farewells_.back());
    farewells_.pop_back();
    leaving_ = &client;
    leaving_id_ = id;
    ClientEvent event;
    event.client = id;
    event.kind = EventKind::close;
    event.detail = APPSERVER_CLOSED_FAILURE;
    event.body = body;
    hooks_.event(event);
    leaving_ = nullptr;
  }
  if (farewells_.empty()) return hooks_.fewer();
  later([this] { say_farewells(); });
}

const KnownClient* Business::find(ClientId client) const {
  if (leaving_ != nullptr && leaving_id_ == client) return leaving_;
  for (const auto& [id, gate] : gates_) {
    if (gate.instance != client.instance) continue;
    const auto found = gate.clients.find(client.serial);
    return found == gate.clients.end() ? nullptr : &found->second;
  }
  return nullptr;
}

std::size_t Business::gateways() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(gates_, [](const auto& each) { return each.second.instance != 0; }));
}

Business::Gate* Business::find_gate(std::uint64_t instance) {
  if (instance == 0) return nullptr;
  const auto found = std::ranges::find_if(
      gates_, [&](const auto& each) { return each.second.instance == instance; });
  return found == gates_.end() ? nullptr : &found->second;
}

std::vector<std::pair<Business::Gate*, Target>> Business::split(const Audience& audience) {
  std::vector<std::pair<Gate*, Target>> parts;
  for (auto& [id, gate] : gates_) {
    if (gate.instance == 0) continue;
    Target target;
    target.scope = audience.scope;
    target.names = audience.names;
    if (audience.scope == Scope::clients) {
      for (const ClientId client : audience.clients) {
        if (client.instance == gate.instance) target.clients.push_back(client.serial);
      }
      if (target.clients.empty()) continue;
    }
    parts.emplace_back(&gate, std::move(target));
  }
  return parts;
}

std::size_t Business::known_gateways() const {
  // One that leaves may be there beside the one that takes its place.
  std::size_t known = std::max(expected_, gateways());
  for (const auto& [id, gate] : gates_) known = std::max<std::size_t>(known, gate.workers);
  return known;
}

Business::Sent Business::tell(const Audience& audience, const Command& command,
                              const std::vector<ClientId>& except) {
  const auto parts = split(audience);
  if (parts.empty()) return Sent::no_gateway;
  if (std::ranges::any_of(
          parts, [](const auto& part) { return part.first->link->unsent() >= kMostUnsent; }))
    return Sent::full;
  Command whole = command;
  whole.request = 0;
  for (const auto& [gate, target] : parts) {
    whole.target = target;
    whole.except.clear();
    for (const ClientId client : except) {
      if (client.instance == gate->instance) whole.except.push_back(client.serial);
    }
    append_command(gate->link->out(), whole);
    gate->link->flush();
    remember(*gate, whole);
  }
  return Sent::sent;
}

std::uint64_t Business::ask(const Audience& audience, const Command& command, milliseconds timeout,
                            Requests::Done done, Sent& sent) {
  const auto parts = split(audience);
  std::set<std::uint64_t> gateways;
  for (const auto& [gate, target] : parts) {
    if (gate->link->unsent() >= kMostUnsent) {
      sent = Sent::full;
      return 0;
    }
    gateways.insert(gate->instance);
  }
  const bool of_clients = audience.scope == Scope::clients;
  const bool partial =
      of_clients ? std::ranges::any_of(
                       audience.clients,
                       [&](ClientId client) { return !gateways.contains(client.instance); })
                 : this->gateways() < known_gateways();
  // Nobody to ask: answered at the next tick.
  const Time deadline = parts.empty() ? now() : now() + timeout;
  const std::uint64_t request =
      requests_.add(std::move(gateways), partial, deadline, std::move(done));
  sent = request == 0 ? Sent::full : Sent::sent;
  if (request == 0) return 0;
  Command whole = command;
  whole.request = request;
  for (const auto& [gate, target] : parts) {
    whole.target = target;
    append_command(gate->link->out(), whole);
    gate->link->flush();
    remember(*gate, whole);
  }
  return request;
}

// What this worker has changed of its own clients, it knows.
void Business::remember(Gate& gate, const Command& command) {
  for (const Serial client : command.target.clients) {
    const auto known = gate.clients.find(client);
    if (known == gate.clients.end()) continue;
    if (command.verb == Verb::bind_uid && !command.name.empty()) known->second.uid = command.name;
    if (command.verb == Verb::unbind_uid) known->second.uid.clear();
    if (command.verb == Verb::set_session && !command.expected &&
        command.body.size() <= ClientTable::kMaxSession)
      known->second.session.bytes = command.body;
  }
}

}  // namespace appserver::gateway
