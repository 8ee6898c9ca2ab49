#include "worker/worker.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "channel/process.hpp"
#include "gateway/outside.hpp"
#include "os/memfd.hpp"
#include "worker/crash_note.hpp"
#include "worker/limits.hpp"
#include "worker/link_keys.hpp"
#include "worker/tls.hpp"

namespace appserver::worker {
namespace {

using boost::system::error_code;
using channel::Kind;
using channel::Message;
using std::chrono::milliseconds;

using channel::kFirstListener;

// For the life of the process: handlers that run in exit(3) still look at it.
telemetry::WorkerPage& map_page(int memfd) {
  return telemetry::WorkerPage::view(
      os::SharedMapping(memfd, sizeof(telemetry::WorkerPage)).release());
}

// No other gateway worker has it, also of another run.
std::uint64_t random_instance() {
  std::random_device random;
  return std::uniform_int_distribution<std::uint64_t>(1)(random);
}

// Of the boot message, whose last descriptor it is.
std::shared_ptr<net::tls::Server> take_tls(const config::Tls& tls, Message& boot) {
  if (!tls.is_used()) return nullptr;
  if (boot.fds.size() == kFirstListener) throw std::runtime_error("no certificates were sent");
  const os::Fd file = std::move(boot.fds.back());
  boot.fds.pop_back();
  try {
    return std::make_shared<net::tls::Server>(make_tls_context(tls, file));
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("tls: {}", error.what()));
  }
}

// Alike; behind the certificates.
gateway::LinkKeysPtr take_link_keys(const config::Group& group, Message& boot) {
  if (!group.link.is_used()) return nullptr;
  if (boot.fds.size() == kFirstListener)
    throw std::runtime_error("the secret of the link was not sent");
  const os::Fd file = std::move(boot.fds.back());
  boot.fds.pop_back();
  try {
    return make_link_keys(group, file);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("link: {}", error.what()));
  }
}

}  // namespace

Worker::Worker(const channel::Boot& boot, os::Fd channel_socket, Message boot_message,
               os::Fd terminated)
    : boot_(boot),
      page_(map_page(boot_message.fds[channel::kBootPage].get())),
      log_(std::move(boot_message.fds[channel::kBootLog]), boot.log_level, page_),
      host_(context_, boot, page_, log_),
      max_connections_(affordable_connections(boot.group.limits.max_connections)),
      server_(context_, to_limits(boot.group), host_, page_),
      gateway_(make_gateway()),
      streams_(context_, to_stream_limits(boot.group.limits, boot.group.reload),
               gateway_ ? static_cast<net::StreamHandler&>(*gateway_) : host_.streams(), page_),
      gate_(context_, boot.group.proxy_protocol.from, boot.group.limits.header_timeout, page_,
            {[this](Handed fresh, const auto& listener) { begin(std::move(fresh), listener); },
             [this](const std::string& what) { log_.write(config::LogLevel::warning, what); },
             [this] { connection_ended(); }}),
      link_keys_(take_link_keys(boot.group, boot_message)),
      tls_(take_tls(boot.group.tls, boot_message)),
      datagrams_(context_, boot.group.limits.max_message.value, host_.datagrams(), page_,
                 [this](const std::string& what) { complain(what); }),
      channel_(context_.get_executor(), channel_socket.release()),
      terminated_(context_.get_executor(), terminated.release()) {
  note_crashes(page_.crash);
  record_modules(page_.crash, boot.plugin_file);
  std::vector<os::Fd> listeners;
  for (std::size_t i = kFirstListener; i < boot_message.fds.size(); ++i) {
    listeners.push_back(std::move(boot_message.fds[i]));
  }
  if (boot.has_state && !listeners.empty()) {
    host_.lifecycle().inherit(listeners.back());
    listeners.pop_back();
  }
  add_listeners(boot.slot, std::move(listeners));
  server_.on_upgrade([this](Handed moved, std::shared_ptr<const net::StreamListener> listener,
                            const appserver_http_request& request) {
    streams_.open_websocket(std::move(moved), std::move(listener), request);
  });
  server_.on_fewer([this] { connection_ended(); });
  streams_.on_fewer([this] { connection_ended(); });
  const auto of_proxy = [this](std::string_view remote, std::string_view local) {
    complain_of_proxy_header(remote, local);
  };
  server_.on_proxy_header(of_proxy);
  streams_.on_proxy_header(of_proxy);
  datagrams_.on_fewer_held([this] {
    if (draining_) check_drained();
  });
}

void Worker::connection_ended() {
  if (draining_) {
    // Its end gives all memory back.
    check_drained();
    return;
  }
  heap_.look(connections());
  for (auto& [slot, acceptors] : acceptors_) {
    for (auto& acceptor : acceptors) acceptor->resume();
  }
}

std::unique_ptr<gateway::Gateway> Worker::make_gateway() {
  const config::Group& group = boot_.group;
  if (group.kind != config::GroupKind::gateway) return nullptr;
  return std::make_unique<gateway::Gateway>(
      context_, gateway::Identity{random_instance(), boot_.slot, group.count, group.name},
      to_gateway_options(group), [this](const std::string& what) { complain(what); });
}

void Worker::count_gateway() {
  const gateway::Gateway::Counts counts = gateway_->counts();
  page_.gateway.clients.set(counts.clients);
  page_.gateway.workers.set(counts.workers);
  page_.gateway.parked_events.set(counts.parked_events);
  page_.gateway.parked_bytes.set(counts.parked_bytes);
  page_.gateway.lost.set(counts.lost);
  page_.gateway.cut.set(counts.cut);
}

void Worker::ask_gateway(std::uint64_t number, const os::Fd& request) {
  Message message;
  message.kind = Kind::gateway_answer;
  message.number = number;
  os::Fd answer;
  try {
    if (!gateway_) throw std::runtime_error("this worker is of no gateway");
    const std::string text = os::read_sealed_memfd(request.get(), control::kMaxGatewayAsk);
    answer =
        os::make_sealed_memfd("appserver-gateway-answer", gateway::answer_outside(*gateway_, text));
  } catch (const std::exception& error) {
    message.text = error.what();
  }
  // Where the channel is full, who asked gets what the others have answered.
  channel::send(channel_.native_handle(), message,
                answer ? std::vector<int>{answer.get()} : std::vector<int>{});
}

// A listener whose connections nobody would serve is a mistake.
void Worker::check_plugin() {
  if (boot_.group.kind == config::GroupKind::business && !host_.gateway().has_plugin()) {
    throw std::runtime_error(fmt::format(
        "the plugin does not take the messages of a gateway's clients (no extension "
        "\"gateway/1\"; in C++: no on_client_message), but the group is of kind business "
        "and serves those of {}",
        boot_.group.of_gateway.empty() ? "another daemon" : boot_.group.of_gateway));
  }
  for (const config::Listen& listen : boot_.group.listen) {
    if (listen.is_udp()) {
      if (host_.takes_datagrams()) continue;
      throw std::runtime_error(
          fmt::format("the plugin does not take datagrams (no extension \"udp/1\"; in C++: no "
                      "on_datagram), but the group listens on {}",
                      listen.text));
    }
    if (listen.is_http() ? host_.speaks_http() : speaks_streams()) continue;
    throw std::runtime_error(
        listen.is_http()
            ? fmt::format("the plugin does not answer HTTP requests (no extension \"http/1\"), but "
                          "the group listens on {}",
                          listen.text)
            : fmt::format("the plugin does not take messages (no extension \"stream/1\"; in C++: "
                          "no on_message), but the group listens on {}",
                          listen.text));
  }
}

void Worker::start() {
  host_.load();
  record_modules(page_.crash, boot_.plugin_file);
  check_plugin();
  if (boot_.purpose == channel::Purpose::preflight) {
    host_.self_check();
    say(Kind::ready);
    finished_ = true;
    say(Kind::stopped);
    return;
  }
  page_.most_connections.set(max_connections_);
  host_.datagrams().start(datagrams_);
  host_.bus().start([this](std::uint64_t given) { say(Kind::want_bus, given); });
  host_.gateway().start(
      {[this](const std::string& what) { complain(what); },
       [this](const std::string& what) { log_.write(config::LogLevel::info, what); },
       [this] {
         if (draining_) check_drained();
       },
       [this](std::uint64_t number) { say(Kind::want_link, number); }},
      link_keys_);
  if (gateway_) gateway_->start(streams_);
  open_door();
  host_.start(server_, streams_);
  say_ready_when_linked();
  watch_termination();
  read_channel();
  tick();
}

void Worker::say(Kind kind, std::uint64_t number, const std::string& text) {
  Message message;
  message.kind = kind;
  message.number = number;
  message.text = text;
  // Nobody to tell means that the supervisor is gone: the channel's end is seen by whoever reads
  // it.
  channel::send(channel_.native_handle(), message);
}

void Worker::read_channel() {
  channel_.async_wait(channel_.wait_read, [this](const error_code& error) {
    if (error) return;
    on_channel();
  });
}

void Worker::on_channel() {
  for (;;) {
    Message message;
    os::ReceiveResult result = os::ReceiveResult::would_block;
    try {
      result = channel::receive(channel_.native_handle(), message);
    } catch (const std::exception& error) {
      // Its descriptors did not fit: the plugin has used them all up. The supervisor's deadlines do
      // the rest.
      log_.write(config::LogLevel::error,
                 fmt::format("a message of the supervisor is lost: {}", error.what()));
      continue;
    }
    if (result == os::ReceiveResult::would_block) break;
    if (result == os::ReceiveResult::closed) {
      log_.write(config::LogLevel::warning, "the supervisor is gone; draining");
      drain(drain_timeout(), {});
      return;
    }
    handle(std::move(message));
    if (finished_) return;
  }
  read_channel();
}

void Worker::handle(Message message) {
  switch (message.kind) {
    case Kind::serve:
      serving_ = true;
      for (const std::uint32_t slot : slots_) start_accepting(slot);
      host_.gateway().begin();
      break;
    case Kind::probe:
      for (os::Fd& socket : message.fds) server_.serve(std::move(socket));
      break;
    case Kind::adopt:
      if (message.fds.size() == 1) adopt(std::move(message.fds.front()));
      break;
    case Kind::drain:
      drain(milliseconds(message.number),
            message.fds.empty() ? os::Fd() : std::move(message.fds.front()));
      break;
    case Kind::lend:
      if (draining_) break;
      add_listeners(message.slot, std::move(message.fds));
      if (serving_) start_accepting(message.slot);
      break;
    case Kind::reclaim:
      // The slot may be one that ends: nobody else takes its queue then.
      if (message.slot != boot_.slot) stop_accepting(message.slot, serving_);
      break;
    case Kind::certificates:
      if (message.fds.size() == 1) renew_certificates(message.fds.front());
      break;
    case Kind::kept:
      host_.kept();
      break;
    case Kind::save_state:
      if (message.number == 0) {
        leaves_state_ = true;
      } else {
        send_state(message.number);
      }
      break;
    case Kind::bus:
      if (message.fds.size() == 1) host_.bus().connected(std::move(message.fds.front()));
      break;
    case Kind::link:
      if (message.fds.size() == 1) add_link(std::move(message.fds.front()), message.number);
      break;
    case Kind::link_keys:
      if (message.fds.size() == 1) renew_link_keys(message.fds.front());
      break;
    case Kind::gateway_size:
      if (gateway_) gateway_->resize(static_cast<std::uint32_t>(message.number));
      break;
    case Kind::ask_gateway:
      if (message.fds.size() == 1) ask_gateway(message.number, message.fds.front());
      break;
    default:
      throw std::runtime_error("the supervisor sent a message that is not for a worker");
  }
}

void Worker::renew_certificates(const os::Fd& file) {
  if (!tls_) return;
  try {
    tls_->replace(make_tls_context(boot_.group.tls, file));
  } catch (const std::exception& error) {
    log_.write(config::LogLevel::error,
               fmt::format("new certificates are not taken: {}; those before stay", error.what()));
  }
}

void Worker::add_listeners(std::uint32_t slot, std::vector<os::Fd> sockets) {
  stop_accepting(slot, false);
  slots_.insert(slot);
  const auto listeners = listeners_.of_sockets(slot != boot_.slot);
  const auto complain_of_shortage = [this](const std::string& what) {
    complain(what + ". Raise rlimits.nofile or lower limits.max_connections");
  };
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    Listeners::Listener listener = i < listeners.size() ? listeners[i] : nullptr;
    if (listener != nullptr && listener->is_udp) {
      datagrams_.add(slot, std::move(sockets[i]), listener->text);
      continue;
    }
    const bool is_link = listener != nullptr && listener->is_link;
    const auto accepted = [this, listener = std::move(listener)](os::Fd connection) {
      if (listener && listener->is_link) {
        if (door_) door_->accept(std::move(connection), listener->is_link_under_tls);
        return;
      }
      page_.accepted.add();
      if (listener && listener->behind_proxy) {
        gate_.accept(std::move(connection), listener);
      } else {
        begin(Handed{std::move(connection)}, listener);
      }
    };
    acceptors_[slot].push_back(std::make_unique<net::Acceptor>(
        context_, std::move(sockets[i]),
        net::Acceptor::Hooks{[this, is_link] { return is_link || has_room(); }, accepted,
                             complain_of_shortage}));
  }
}

void Worker::complain_of_proxy_header(std::string_view remote, std::string_view local) {
  if (boot_.group.proxy_protocol.enabled) {
    return complain(
        fmt::format("a second PROXY protocol header came from {} at {}: two proxies add one, and "
                    "only the last may",
                    remote, local));
  }
  complain(
      fmt::format("a PROXY protocol header came from {} at {}, but group {} has no proxy_protocol: "
                  "the connection is closed. Set `proxy_protocol: true` for the group, or let the "
                  "proxy send none",
                  remote, local, boot_.group.name));
}

// At most once a minute.
void Worker::complain_of_uncompressed() {
  const std::uint64_t uncompressed = page_.uncompressed.get();
  if (uncompressed == told_uncompressed_) return;
  const auto now = std::chrono::steady_clock::now();
  if (told_uncompressed_ > 0 && now - told_uncompressed_at_ < std::chrono::minutes(1)) return;
  log_.write(config::LogLevel::warning,
             fmt::format("{} answers went out uncompressed: {} streams are compressed at a time. "
                         "Raise count, or name fewer types in compress.types",
                         uncompressed - told_uncompressed_, net::HttpServer::kMostCoders));
  told_uncompressed_ = uncompressed;
  told_uncompressed_at_ = now;
}

// Null: of a listener of nobody.
void Worker::begin(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener) {
  try {
    if (listener) fresh.tls = accept_tls(*listener, fresh.connection.get());
  } catch (const std::exception& error) {
    page_.tls_failed.add();
    complain(fmt::format("{}; a connection is closed", error.what()));
    return;
  }
  serve(std::move(fresh), listener);
}

void Worker::serve(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener) {
  if (listener == nullptr || listener->begins_with_http) {
    server_.serve(std::move(fresh.connection), std::move(fresh.received),
                  speaks_streams() ? listener : nullptr, std::move(fresh.tls),
                  std::move(fresh.ends));
  } else {
    streams_.serve(std::move(fresh.connection), listener, std::move(fresh.tls),
                   std::move(fresh.ends));
  }
}

void Worker::go_on_with(Handed handed) {
  Listeners::Listener listener = listeners_.of_handed(handed.listener);
  const bool opens_only = listener != nullptr && listener->only_websockets;
  if (handed.kind == Handed::Kind::begun) {
    if (listener == nullptr) return;
    const bool by_http = listener->begins_with_http && !opens_only;
    if (by_http ? host_.speaks_http() : speaks_streams()) {
      gate_.go_on(std::move(handed), std::move(listener));
    }
  } else if (handed.kind == Handed::Kind::http) {
    if (host_.speaks_http() || opens_only) serve(std::move(handed), listener);
  } else if (speaks_streams() && listener != nullptr) {
    streams_.adopt(std::move(handed), std::move(listener));
  }
  // Else the socket closes with `handed`: this build could not serve it.
}

void Worker::start_accepting(std::uint32_t slot) {
  for (auto& acceptor : acceptors_[slot]) acceptor->start();
  datagrams_.start(slot);
}

void Worker::stop_accepting(std::uint32_t slot, bool empty_queue) {
  slots_.erase(slot);
  datagrams_.stop(slot, empty_queue);
  const auto found = acceptors_.find(slot);
  if (found == acceptors_.end()) return;
  for (auto& acceptor : found->second) acceptor->stop(empty_queue);
  acceptors_.erase(found);
}

void Worker::stop_accepting_all(bool empty_queue) {
  while (!slots_.empty()) stop_accepting(*slots_.begin(), empty_queue);
}

void Worker::tick() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  page_.heartbeat_ns.set(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                         static_cast<std::uint64_t>(now.tv_nsec));
  server_.tick();
  streams_.tick();
  gate_.tick();
  if (gateway_) {
    gateway_->tick();
    count_gateway();
  }
  host_.gateway().tick();
  complaints_.tick();
  datagrams_.tick();
  complain_of_uncompressed();
  if (!draining_) heap_.look(connections());
  tick_.expires_after(net::TimerWheel::kTick);
  tick_.async_wait([this](const error_code& error) {
    if (!error) tick();
  });
}

}  // namespace appserver::worker
