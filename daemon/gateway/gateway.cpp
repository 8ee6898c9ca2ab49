#include "gateway/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/clock.hpp"

namespace appserver::gateway {
namespace {

using std::chrono::seconds;

std::string_view text(appserver_str str) { return {str.data, str.size}; }

appserver_connection_info info_of(net::StreamServer& server, appserver_connection connection) {
  appserver_connection_info info{};
  info.size = sizeof(info);
  server.info(connection, info);
  return info;
}

std::string short_name(appserver_str str) {
  return std::string(text(str).substr(0, ClientTable::kMaxName));
}

}  // namespace

Gateway::Gateway(boost::asio::io_context& context, Identity identity, const GatewayOptions& options,
                 Complain complain)
    : context_(context),
      identity_(std::move(identity)),
      options_(options),
      complain_(std::move(complain)) {}

Gateway::~Gateway() {
  for (auto& [id, peer] : peers_) peer.link->close();
}

void Gateway::add_link(LinkSocket socket, std::optional<milliseconds> timeout) {
  const LinkId id = ++last_link_;
  const auto link = std::make_shared<Link>(context_, std::move(socket));
  peers_[id] = {link, "a business worker"};
  Hello hello;
  hello.role = Role::gateway;
  hello.instance = identity_.instance;
  hello.slot = identity_.slot;
  hello.workers = identity_.workers;
  hello.group = identity_.group;
  Link::Hooks hooks;
  hooks.open = [this, id](const Hello& peer) { opened(id, peer); };
  hooks.message = [this, id](std::string_view message) { return on_link_message(id, message); };
  hooks.batch_end = [] {};
  hooks.drained = [this, id] { peers_.at(id).link->resume(); };
  hooks.ended = [this, id](const std::string& why) { link_ended(id, why); };
  link->start(hello, std::move(hooks));
  if (timeout) link->watch_peer(*timeout);
}

void Gateway::opened(LinkId id, const Hello& hello) {
  Peer& peer = peers_.at(id);
  peer.name = fmt::format("{}/{}", hello.group, hello.slot);
  if (hello.role == Role::business) return;
  const std::string why = fmt::format("{} is no business worker", peer.name);
  append_refused(peer.link->out(), why);
  peer.link->close();
  peers_.erase(id);
  complain_(why);
}

void Gateway::resize(std::uint32_t workers) {
  if (std::exchange(identity_.workers, workers) == workers) return;
  for (auto& [id, peer] : peers_) {
    // Behind the hello that it was sent first.
    append_workers(peer.link->out(), workers);
    peer.link->flush();
  }
}

void Gateway::leave() {
  for (auto& [id, peer] : peers_) {
    append_bare(peer.link->out(), LinkKind::leaving);
    peer.link->flush();
  }
}

void Gateway::link_ended(LinkId id, const std::string& why) {
  const auto found = peers_.find(id);
  const std::size_t owed = router_.unacknowledged(id);
  if (found->second.ready || owed > 0) {
    complain_(fmt::format("the link to {} has ended: {}; {} events that it had not acknowledged {}",
                          found->second.name, why, owed,
                          options_.routes.at_least_once ? "go to others" : "are not given again"));
  }
  peers_.erase(found);
  router_.link_gone(id, now());
}

bool Gateway::on_link_message(LinkId id, std::string_view message) {
  Peer& peer = peers_.at(id);
  const auto kind = kind_of(message);
  if (!kind) return false;
  switch (*kind) {
    case LinkKind::ready:
      if (std::exchange(peer.ready, true)) return false;
      router_.link_ready(id);
      return true;
    case LinkKind::drain:
      router_.link_draining(id, now());
      peer.ready = false;
      append_bare(peer.link->out(), LinkKind::drained);
      peer.link->flush();
      return true;
    case LinkKind::acknowledge: {
      const auto numbers = read_acknowledge(message);
      return numbers && std::ranges::all_of(*numbers, [&](std::uint64_t number) {
               return router_.acknowledge(id, number);
             });
    }
    case LinkKind::command: {
      const auto command = read_command(message);
      if (!command) return false;
      run(*command, [this, id](const Answer& part) { answer(id, part); });
      // Its answers wait to be read: it gets no more until it has.
      if (peer.link->is_full()) peer.link->pause();
      return true;
    }
    default:
      return false;
  }
}

void Gateway::assign(LinkId id, Serial client) {
  Peer& peer = peers_.at(id);
  Assign assign;
  assign.client = client;
  const ClientTable::Session& session = session_of(client);
  assign.session = {session.version, session.bytes};
  const auto gone = departed_.find(client);
  const Facts& facts = facts_.at(client);
  assign.facts = {facts.remote, facts.local, facts.listener, facts.protocol,
                  gone == departed_.end() ? table_.uid(client) : gone->second.uid};
  append_assign(peer.link->out(), assign);
  if (session.version > 0) told_[client] = session.version;
  peer.link->flush();
}

void Gateway::deliver(LinkId id, std::uint64_t number, Serial client, const Event& event) {
  Peer& peer = peers_.at(id);
  EventMessage message;
  message.number = number;
  message.client = client;
  message.kind = event.kind;
  message.detail = event.detail;
  message.redelivered = event.redelivered;
  message.body = event.body;
  const ClientTable::Session& session = session_of(client);
  if (session.version > 0) {
    std::uint64_t& told = told_[client];
    if (std::exchange(told, session.version) != session.version)
      message.session = SessionView{session.version, session.bytes};
  }
  append_event(peer.link->out(), message);
  peer.link->flush();
}

const ClientTable::Session& Gateway::session_of(Serial client) const {
  const auto gone = departed_.find(client);
  return gone == departed_.end() ? *table_.session(client) : gone->second.session;
}

void Gateway::hold(Serial client, bool held) {
  const auto connection = table_.connection(client);
  if (connection) server_->pause(*connection, held);
}

void Gateway::lost(Serial client, const Event& event) {
  static_cast<void>(client);
  ++lost_;
  complain_(
      event.body.empty()
          ? "a message that a business worker had when it ended is not given again "
            "(delivery: at_most_once)"
          : fmt::format("a message is lost: no business worker was there for {} s "
                        "(park.timeout)",
                        std::chrono::duration_cast<seconds>(options_.routes.park_timeout).count()));
}

void Gateway::over(Serial client) {
  told_.erase(client);
  facts_.erase(client);
  departed_.erase(client);
}

void Gateway::tick() {
  const Time time = now();
  if (time >= next_expiry_) {
    next_expiry_ = time + seconds(1);
    router_.expire(time);
  }
  if (options_.ping_interval.count() > 0 && time >= next_ping_) {
    if (next_ping_ != Time{}) ping_clients();
    next_ping_ = time + options_.ping_interval;
  }
}

void Gateway::ping_clients() {
  for (const Serial client : table_.all()) {
    if (const auto connection = table_.connection(client)) ping(client, *connection);
  }
}

void Gateway::ping(Serial client, appserver_connection connection) {
  const auto info = info_of(*server_, connection);
  if (text(info.protocol) == "websocket") return;
  Silence& silence = silences_[client];
  const bool silent = std::exchange(silence.bytes_in, info.bytes_in) == info.bytes_in;
  silence.intervals = silent ? silence.intervals + 1 : 0;
  if (options_.ping_limit > 0 && silence.intervals >= options_.ping_limit) {
    server_->close(connection, 0, {});
  } else if (!options_.ping_data.empty()) {
    server_->send(connection, APPSERVER_MESSAGE_TEXT, options_.ping_data);
  }
}

Gateway::Counts Gateway::counts() const {
  return {
      table_.size(), router_.ready_links(), router_.parked_events(), router_.parked_bytes(), lost_,
      cut_};
}

Serial Gateway::add_client(appserver_connection connection) {
  const Serial client = ++last_client_;
  table_.add(client, connection);
  const auto info = info_of(*server_, connection);
  facts_[client] = {short_name(info.remote), short_name(info.local), short_name(info.listener),
                    short_name(info.protocol)};
  // The connection's context is its serial itself.
  server_->set_context(connection, reinterpret_cast<void*>(client));
  add_event(client, {EventKind::connect, 0, {}});
  return client;
}

Serial Gateway::serial_of(appserver_connection connection) {
  return reinterpret_cast<Serial>(server_->context(connection));
}

void Gateway::add_event(Serial client, Event event) {
  router_.add(client, std::move(event), now());
}

bool Gateway::on_connect(appserver_connection connection) {
  if (router_.is_full()) {
    complain_(
        "clients are turned away: the messages that wait for business workers fill "
        "park.memory");
    return false;
  }
  add_client(connection);
  return true;
}

Gateway::WebSocketAnswer Gateway::on_websocket_open(appserver_connection connection,
                                                    const appserver_http_request& request) {
  if (!on_connect(connection)) return {503, "too much waits for the workers behind this gateway"};
  std::string body;
  append_opening(body, request);
  add_event(serial_of(connection), {EventKind::websocket_open, 0, std::move(body)});
  return {};
}

Gateway::Outcome Gateway::on_message(appserver_connection connection, std::uint32_t kind,
                                     std::string_view message) {
  add_event(serial_of(connection),
            {EventKind::message, static_cast<std::uint8_t>(kind), std::string(message)});
  return Outcome::good;
}

void Gateway::on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                       std::string_view why) {
  const Serial client = serial_of(connection);
  if (client == 0) return;
  departed_[client] = {std::string(table_.uid(client)), *table_.session(client)};
  table_.remove(client);
  silences_.erase(client);
  std::string body;
  append_closing(body, {static_cast<std::uint16_t>(code), why});
  add_event(client, {EventKind::close, static_cast<std::uint8_t>(reason), std::move(body)});
}

void Gateway::on_buffer_full(appserver_connection connection) {
  static_cast<void>(connection);  // what is sent to it next finds out
}

void Gateway::on_buffer_drain(appserver_connection connection) { static_cast<void>(connection); }

std::optional<std::string> Gateway::on_handover(appserver_connection connection) {
  static_cast<void>(connection);
  return std::nullopt;
}

bool Gateway::on_adopt(appserver_connection connection, std::string_view state) {
  static_cast<void>(connection);
  static_cast<void>(state);
  return false;
}

std::optional<std::uint64_t> Gateway::measure(appserver_connection connection,
                                              std::string_view data) {
  static_cast<void>(connection);
  return data.size();
}

}  // namespace appserver::gateway
