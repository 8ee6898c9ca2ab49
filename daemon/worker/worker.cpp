#include "worker/worker.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bus/process.hpp"
#include "channel/boot.hpp"
#include "channel/message.hpp"
#include "channel/process.hpp"
#include "net/acceptor.hpp"
#include "net/datagram_server.hpp"
#include "net/http_server.hpp"
#include "net/stream_server.hpp"
#include "os/error.hpp"
#include "os/memfd.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/crash_note.hpp"
#include "worker/handover.hpp"
#include "worker/identity.hpp"
#include "worker/listeners.hpp"
#include "worker/plugin_host.hpp"
#include "worker/termination.hpp"
#include "worker/tls.hpp"
#include "worker/worker_log.hpp"

namespace appserver::worker {
namespace {

using boost::system::error_code;
using channel::Kind;
using channel::Message;
using Descriptor =
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
using std::chrono::milliseconds;

constexpr milliseconds kBootTimeout{10'000};
// Between the drain's own deadline and the alarm that ends a hung process.
constexpr std::chrono::seconds kAlarmGrace{10};

using channel::kFirstListener;

Message receive_boot(int channel_socket) {
  pollfd poll_for{channel_socket, POLLIN, 0};
  const int ready = os::retry_on_interrupt(
      [&] { return ::poll(&poll_for, 1, static_cast<int>(kBootTimeout.count())); });
  os::check(ready, "poll(channel)");
  if (ready == 0) throw std::runtime_error("the supervisor did not say what to be");
  Message message;
  if (channel::receive(channel_socket, message) != os::ReceiveResult::received) {
    throw std::runtime_error("the supervisor is gone");
  }
  if (message.kind != Kind::boot || message.fds.size() < kFirstListener) {
    throw std::runtime_error("the first message on the channel is not a boot message");
  }
  return message;
}

// For the life of the process: handlers that run in exit(3) still look at it.
telemetry::WorkerPage& map_page(int memfd) {
  return telemetry::WorkerPage::view(
      os::SharedMapping(memfd, sizeof(telemetry::WorkerPage)).release());
}

// Half of the descriptors, less our own: while it takes over a predecessor's connections a worker
// may already have as many of its own, and a message that brings a descriptor must never find none
// free.
std::uint32_t affordable_connections(std::uint32_t wanted) {
  rlimit files{};
  os::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit(nofile)");
  if (files.rlim_cur <= 2 * kOwnDescriptors) return 1;
  return static_cast<std::uint32_t>(
      std::min<rlim_t>(wanted, (files.rlim_cur - kOwnDescriptors) / 2));
}

net::HttpLimits to_limits(const config::Limits& limits) {
  net::HttpLimits result;
  result.request.max_body = limits.max_body.value;
  result.header_timeout = limits.header_timeout;
  result.idle_timeout = limits.idle_timeout;
  return result;
}

net::StreamLimits to_stream_limits(const config::Limits& limits, const config::Reload& reload) {
  net::StreamLimits result;
  result.max_message = limits.max_message.value;
  result.send_buffer = limits.send_buffer.value;
  result.message_timeout = limits.header_timeout;
  result.send_timeout = limits.send_timeout;
  result.idle_timeout = limits.stream_idle_timeout;
  result.ping_interval = limits.ping_interval;
  // So that the last ones have time for their closing.
  result.close_spread = std::min(reload.close_spread, reload.drain_timeout / 2);
  return result;
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

class Worker final {
 public:
  Worker(const channel::Boot& boot, os::Fd channel_socket, Message boot_message, os::Fd terminated);

  // Throws where the plugin cannot start.
  void start();
  void run() { context_.run(); }

 private:
  void say(Kind kind, std::uint64_t number = 0, const std::string& text = {});
  void read_channel();
  void on_channel();
  void handle(Message message);
  void add_listeners(std::uint32_t slot, std::vector<os::Fd> sockets);
  void serve(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener);
  void go_on_with(Handed handed);
  bool has_room() const { return connections() < max_connections_; }
  std::size_t connections() const { return server_.connections() + streams_.connections(); }
  void connection_ended();
  void complain(const std::string& what);
  void check_plugin();
  void start_accepting(std::uint32_t slot);
  void stop_accepting(std::uint32_t slot, bool empty_queue);
  void stop_accepting_all(bool empty_queue);
  void adopt(os::Fd predecessor);
  void renew_certificates(const os::Fd& file);
  void drain(milliseconds timeout, os::Fd successor);
  void drain_to(os::Fd successor);
  void send_state(std::uint64_t number);
  void deadline_reached();
  void check_drained();
  void finish();
  void tick();
  void watch_termination();
  milliseconds drain_timeout() const { return boot_.group.reload.drain_timeout; }

  boost::asio::io_context context_{1};
  const channel::Boot& boot_;
  telemetry::WorkerPage& page_;
  WorkerLog log_;
  PluginHost host_;
  std::uint32_t max_connections_;
  net::HttpServer server_;
  net::StreamServer streams_;
  std::shared_ptr<net::tls::Server> tls_;  // null without TLS
  net::DatagramServer datagrams_;
  const Listeners listeners_{boot_.group, tls_};
  Descriptor channel_;
  Descriptor terminated_;
  boost::asio::steady_timer tick_{context_};
  boost::asio::steady_timer deadline_{context_};
  std::map<std::uint32_t, std::vector<std::unique_ptr<net::Acceptor>>> acceptors_;
  std::set<std::uint32_t> slots_;  // whose sockets are here
  std::unique_ptr<HandoverSender> sender_;
  std::list<std::unique_ptr<HandoverReceiver>> receivers_;
  std::chrono::steady_clock::time_point last_complaint_{};
  std::uint64_t cut_ = 0;
  bool serving_ = false;
  bool draining_ = false;
  bool leaves_state_ = false;  // right before its end, to the slot's next worker
  bool check_posted_ = false;
  bool cut_off_ = false;
  bool finished_ = false;
};

Worker::Worker(const channel::Boot& boot, os::Fd channel_socket, Message boot_message,
               os::Fd terminated)
    : boot_(boot),
      page_(map_page(boot_message.fds[channel::kBootPage].get())),
      log_(std::move(boot_message.fds[channel::kBootLog]), boot.log_level, page_),
      host_(context_, boot, page_, log_),
      max_connections_(affordable_connections(boot.group.limits.max_connections)),
      server_(context_, to_limits(boot.group.limits), host_, page_),
      streams_(context_, to_stream_limits(boot.group.limits, boot.group.reload), host_.streams(),
               page_),
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
  datagrams_.on_fewer_held([this] {
    if (draining_) check_drained();
  });
}

void Worker::connection_ended() {
  if (draining_) {
    check_drained();
    return;
  }
  for (auto& [slot, acceptors] : acceptors_) {
    for (auto& acceptor : acceptors) acceptor->resume();
  }
}

// A listener whose connections nobody would serve is a mistake.
void Worker::check_plugin() {
  for (const config::Listen& listen : boot_.group.listen) {
    if (listen.is_udp()) {
      if (host_.takes_datagrams()) continue;
      throw std::runtime_error(
          fmt::format("the plugin does not take datagrams (no extension \"udp/1\"; in C++: no "
                      "on_datagram), but the group listens on {}",
                      listen.text));
    }
    if (listen.is_http() ? host_.speaks_http() : host_.speaks_streams()) continue;
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
  if (max_connections_ < boot_.group.limits.max_connections) {
    log_.write(config::LogLevel::info,
               fmt::format("serves at most {} connections instead of limits.max_connections ({}); "
                           "raise rlimits.nofile",
                           max_connections_, boot_.group.limits.max_connections));
  }
  host_.datagrams().start(datagrams_);
  host_.bus().start([this] { say(Kind::want_bus); });
  host_.start(server_, streams_);
  say(Kind::ready, host_.lifecycle().saves_state() ? 1 : 0);
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
    const auto accepted = [this, listener = std::move(listener)](os::Fd connection) {
      page_.accepted.add();
      Handed fresh{std::move(connection)};
      try {
        if (listener) fresh.tls = accept_tls(*listener, fresh.connection.get());
      } catch (const std::exception& error) {
        complain(fmt::format("{}; a connection is closed", error.what()));
        return;
      }
      serve(std::move(fresh), listener);
    };
    acceptors_[slot].push_back(std::make_unique<net::Acceptor>(
        context_, std::move(sockets[i]),
        net::Acceptor::Hooks{[this] { return has_room(); }, accepted, complain_of_shortage}));
  }
}

// At most once a second: a flood brings as many reasons as it brings clients.
void Worker::complain(const std::string& what) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_complaint_ < std::chrono::seconds(1)) return;
  last_complaint_ = now;
  log_.write(config::LogLevel::warning, what);
}

// Null: of a listener of nobody.
void Worker::serve(Handed fresh, const std::shared_ptr<const net::StreamListener>& listener) {
  if (listener == nullptr || listener->begins_with_http) {
    server_.serve(std::move(fresh.connection), std::move(fresh.received),
                  host_.speaks_streams() ? listener : nullptr, std::move(fresh.tls));
  } else {
    streams_.serve(std::move(fresh.connection), listener, std::move(fresh.tls));
  }
}

void Worker::go_on_with(Handed handed) {
  Listeners::Listener listener = listeners_.of_handed(handed.listener);
  const bool opens_only = listener != nullptr && listener->only_websockets;
  if (handed.kind == Handed::Kind::http) {
    if (host_.speaks_http() || opens_only) serve(std::move(handed), listener);
  } else if (host_.speaks_streams() && listener != nullptr) {
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

void Worker::adopt(os::Fd predecessor) {
  receivers_.emplace_back();
  const auto place = std::prev(receivers_.end());
  *place = std::make_unique<HandoverReceiver>(
      context_, std::move(predecessor),
      [this](Handed handed) {
        page_.adopted.add();
        go_on_with(std::move(handed));
      },
      [this, place] {
        receivers_.erase(place);
        if (draining_) check_drained();
      });
}

void Worker::drain(milliseconds timeout, os::Fd successor) {
  const bool again = std::exchange(draining_, true);
  deadline_.expires_after(timeout);
  deadline_.async_wait([this](const error_code& error) {
    if (!error) deadline_reached();
  });
  if (!again && successor) {
    stop_accepting_all(false);
    drain_to(std::move(successor));
  } else if (!again) {
    stop_accepting_all(serving_);
    server_.drain_politely();
    streams_.drain_politely();
  }
  // Last, so that what it ends can move to the successor.
  if (!again) host_.lifecycle().drain();
  check_drained();
}

void Worker::drain_to(os::Fd successor) {
  sender_ = std::make_unique<HandoverSender>(
      context_, std::move(successor), [this](std::deque<Handed> left) {
        log_.write(config::LogLevel::warning,
                   "the successor is gone; draining without handing over");
        server_.drain_politely();
        streams_.drain_politely();
        for (Handed& handed : left) go_on_with(std::move(handed));
      });
  sender_->on_empty([this] { check_drained(); });
  server_.hand_over([this](Handed handed) { sender_->send(std::move(handed)); });
  streams_.hand_over([this](Handed handed) { sender_->send(std::move(handed)); });
}

void Worker::deadline_reached() {
  receivers_.clear();
  if (sender_) cut_ += sender_->cut();
  cut_ += server_.cut();
  cut_ += streams_.cut();
  cut_off_ = true;
  check_drained();
}

// Posted: the last connection may have ended in the middle of its own turn.
void Worker::check_drained() {
  if (std::exchange(check_posted_, true)) return;
  boost::asio::post(context_, [this] {
    check_posted_ = false;
    const bool sent = !sender_ || sender_->empty();
    const bool answered = datagrams_.held() == 0 || cut_off_;
    if (connections() == 0 && sent && answered && receivers_.empty() && !finished_) finish();
  });
}

void Worker::finish() {
  finished_ = true;
  sender_.reset();
  say(Kind::drained, cut_, std::to_string(page_.handed_over.get()));
  if (leaves_state_) send_state(0);
  host_.stop();
  say(Kind::stopped);
  context_.stop();
}

// Not sent where the channel is full: whoever asked does not wait for long.
void Worker::send_state(std::uint64_t number) {
  const LifecycleHost::Saved saved = host_.lifecycle().save();
  Message message;
  message.kind = Kind::state;
  message.number = number;
  message.text = saved.failure;
  std::vector<int> files;
  if (saved.file) files.push_back(saved.file.get());
  channel::send(channel_.native_handle(), message, files);
}

void Worker::tick() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  page_.heartbeat_ns.set(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                         static_cast<std::uint64_t>(now.tv_nsec));
  server_.tick();
  streams_.tick();
  datagrams_.tick();
  tick_.expires_after(net::TimerWheel::kTick);
  tick_.async_wait([this](const error_code& error) {
    if (!error) tick();
  });
}

void Worker::watch_termination() {
  terminated_.async_wait(terminated_.wait_read, [this](const error_code& error) {
    if (error) return;
    // The supervisor did not ask for this end, and starts another worker.
    leaves_state_ = leaves_state_ || (!draining_ && host_.lifecycle().saves_state());
    drain(drain_timeout(), {});
  });
}

std::size_t bus_memory(const std::string& settings) {
  const auto value = boost::json::parse(settings);
  return boost::json::value_to<std::size_t>(value.at("memory"));
}

void say_failed(int channel_socket, const std::string& why) {
  Message message;
  message.kind = Kind::failed;
  message.text = why;
  channel::send(channel_socket, message);
}

// Ends the process from within, so that the worker still stands while the plugin's static
// destructors and the threads that it did not join run: the ABI promises them the host for as long
// as the process lives.
[[noreturn]] void live(const channel::Boot& boot, int channel_copy, os::Fd channel_socket,
                       Message boot_message, os::Fd terminated) {
  Worker worker(boot, std::move(channel_socket), std::move(boot_message), std::move(terminated));
  int code = 0;
  try {
    worker.start();
    if (boot.purpose == channel::Purpose::serve) worker.run();
  } catch (const std::exception& error) {
    say_failed(channel_copy, error.what());
    code = 1;
  }
  std::exit(code);
}

}  // namespace

int run_worker(int channel_number, pid_t supervisor) {
  os::Fd channel_socket(channel_number);
  // The Worker owns the channel from then on; a plugin's failure is still to be said.
  const os::Fd channel_copy = channel_socket.duplicate();
  try {
    bind_to_supervisor(supervisor);
    std::signal(SIGPIPE, SIG_IGN);
    Message boot_message = receive_boot(channel_socket.get());
    const channel::Boot boot = channel::decode(os::read_sealed_memfd(
        boot_message.fds.at(channel::kBootRecord).get(), channel::kMaxBootRecord));
    os::Fd terminated = catch_termination(
        std::chrono::duration_cast<std::chrono::seconds>(boot.group.reload.drain_timeout) +
        kAlarmGrace);
    take_on(boot.group, boot.slot, supervisor);
    if (boot.purpose == channel::Purpose::bus) {
      const std::size_t memory = bus_memory(boot.group.settings);
      return bus::run_bus(std::move(channel_socket), std::move(terminated), memory);
    }
    live(boot, channel_copy.get(), std::move(channel_socket), std::move(boot_message),
         std::move(terminated));
  } catch (const std::exception& error) {
    say_failed(channel_copy.get(), error.what());
    return 1;
  }
}

}  // namespace appserver::worker
