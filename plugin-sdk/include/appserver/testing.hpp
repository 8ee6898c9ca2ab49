// A worker in memory for a plugin's own tests: its hooks are driven through the same tables as the
// daemon drives them through, with no daemon, no socket and no waiting. For any test framework.
//
//   // my_plugin_test.cpp, in one executable with my_plugin.cpp
//   TEST_CASE("it greets") {
//     appserver::testing::Harness harness({.settings = {{"greeting", "hi"}}});
//     REQUIRE(harness.get("/?name=Ada").body() == "hi, Ada\n");
//   }
//
// It keeps the contract of the ABI strictly: what a worker refuses is refused here, and what may
// not come from within a call does not. Each member below that acts on the plugin then runs the
// loop until nothing is due: posted functions, messages, ends of connections. Timers fire when the
// test moves the clock. What it does not have is time of its own (the limits' timeouts, pings) and
// bytes on a wire (HTTP heads, framing): the daemon's parts, not a plugin's.
//
// Members are for the thread that made the harness, unless said otherwise.
#pragma once

#include <appserver/abi.h>

#include <appserver/connection.hpp>
#include <appserver/detail/adapter.hpp>
#include <appserver/detail/testing/client_of_gateway.hpp>
#include <appserver/detail/testing/extensions.hpp>
#include <appserver/detail/testing/life.hpp>
#include <appserver/plugin.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// The constructor of the plugin or its on_worker_start has failed, with these words.
class StartFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The client's side of one request. Valid as long as its harness.
class Reply {
 public:
  Reply(Host& host, appserver_exchange id) : host_(&host), id_(id) {}

  // What has come so far; the answer may be deferred or streamed still.
  Answer answer() const { return http().answer(id_); }
  bool done() const { return answer().state == State::kAnswered; }
  State state() const { return answer().state; }
  unsigned status() const { return answer().status; }
  std::string body() const { return answer().body; }
  // "(none)" where there is none of that name.
  std::string header(std::string_view name) const { return answer().header(name); }
  // Whether on_request threw, or gave no answer.
  bool failed() const { return answer().failed; }

  // Until it has ended, for answers from other threads; the loop runs meanwhile. Whether it has.
  bool wait(milliseconds deadline = std::chrono::seconds(20)) const {
    const auto until = std::chrono::steady_clock::now() + deadline;
    for (;;) {
      host_->run();
      const State now = http().wait(id_, milliseconds(5)).state;
      if (now == State::kAnswered || now == State::kAborted) return true;
      if (std::chrono::steady_clock::now() >= until) return false;
    }
  }

  // The client goes away.
  void disconnect() const { http().disconnect(id_); }
  // As disconnect, but the client may still read; a coroutine that works for it is cancelled.
  void client_gone() const { http().client_gone(id_); }
  // A client that has not read takes what was streamed to it (Harness::set_write_bound).
  void read() const { http().read(id_); }

 private:
  HttpHost& http() const { return host_->get<HttpHost>(); }

  Host* host_;
  appserver_exchange id_;
};

// The client's side of one connection. It takes what is sent to it at once, unless told not to.
// Valid as long as the harness that serves it.
class Client {
 public:
  explicit Client(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}

  // A message; over tcp:// bytes. Throws std::invalid_argument for what the protocol does not let
  // be one. False: the connection has ended.
  bool send(std::string_view message) { return send(message, true); }
  // Over a WebSocket one that is no text.
  bool send_binary(std::string_view message) { return send(message, false); }

  // The next message that came; over tcp:// all bytes that have. Nullopt: there is none.
  std::optional<std::string> receive() { return take_received(*wire_); }
  // All that have come, and off it.
  std::vector<Received> receive_all() {
    std::vector<Received> all(wire_->received.begin(), wire_->received.end());
    wire_->received.clear();
    return all;
  }

  // From now on nothing that is sent to it is taken; read() takes all of it.
  void stop_reading() { wire_->reads = false; }
  void read() {
    wire_->reads = true;
    run();
  }

  // Ends it behind what was sent; a WebSocket with this code, 0 for none.
  void close(std::uint16_t code = 1000, std::string_view reason = {}) {
    if (!is_open()) return;
    if (wire_->protocol == Protocol::kWebSocket) {
      wire_->client_code = code;
      wire_->client_reason = reason;
    }
    wire_->client_closed = true;
    run();
  }
  // Cuts it off.
  void reset() {
    StreamHost* const host = wire_->host;
    if (host == nullptr) return;
    host->fail(wire_->id);
    host->run();
  }

  bool is_open() const { return wire_->host != nullptr && !wire_->client_closed; }
  // The plugin has aborted it, or has refused it in on_connect.
  bool was_reset() const { return wire_->was_reset; }
  // What a WebSocket was closed with; 0: it was not.
  unsigned close_code() const { return wire_->close_code; }
  const std::string& close_reason() const { return wire_->close_reason; }
  // The HTTP status with which a WebSocket was refused, and its line of text; 0: it was not.
  unsigned refused() const { return wire_->refused; }
  const std::string& refusal() const { return wire_->refusal; }
  const std::string& subprotocol() const { return wire_->subprotocol; }

  // The plugin's name for it, now; none where it has ended.
  Connection connection() const {
    return wire_->host == nullptr ? Connection() : wire_->host->connection(wire_->id);
  }

 private:
  void run() {
    if (wire_->host != nullptr) wire_->host->run();
  }

  bool send(std::string_view message, bool is_text) {
    if (!is_open()) return false;
    const bool text =
        wire_->protocol == Protocol::kText || (wire_->protocol == Protocol::kWebSocket && is_text);
    if (!can_be_message(wire_->protocol, text, message))
      throw std::invalid_argument(std::string("Client::send: no message of ") +
                                  protocol_name(wire_->protocol));
    if (wire_->protocol == Protocol::kTcp && message.empty()) return true;
    if (wire_->protocol == Protocol::kTcp && !wire_->incoming.empty()) {
      wire_->incoming.back().bytes += message;
    } else {
      wire_->incoming.push_back({std::string(message), text});
    }
    run();
    return true;
  }

  std::shared_ptr<Wire> wire_;
};

// A worker with one plugin in it, started in the constructor and stopped in the destructor.
class Harness {
 public:
  // Of the plugin that is linked into the test, unless given another's table. Throws StartFailed.
  explicit Harness(Options options = {}, const appserver_plugin& plugin = appserver_plugin_v1)
      : host_(options), life_(host_, plugin) {
    if (options.predecessor) host_.get<LifecycleHost>().leave(std::move(*options.predecessor));
    if (life_.created() != APPSERVER_OK || life_.start() != APPSERVER_OK)
      throw StartFailed(host_.errors());
    run();
  }
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;
  ~Harness() = default;

  Reply request(const HttpRequest& request) {
    const Reply reply(host_, host_.get<HttpHost>().request(request));
    run();
    return reply;
  }
  Reply get(std::string target) { return request({.target = std::move(target)}); }
  Reply post(std::string target, std::string body,
             std::string content_type = "application/x-www-form-urlencoded") {
    return request({.target = std::move(target),
                    .method = "POST",
                    .headers = {{"Content-Type", std::move(content_type)}},
                    .body = std::move(body)});
  }
  // Bytes of a streamed answer that may wait for a client that does not read.
  void set_write_bound(std::size_t bytes) { host_.get<HttpHost>().set_write_bound(bytes); }

  // A client at a text://, frame:// or tcp:// listener, or with no headers at a ws:// one; with
  // `tls` at one under TLS.
  Client connect(Protocol protocol, std::optional<TlsInfo> tls = {}) {
    if (protocol == Protocol::kWebSocket) return websocket({.tls = std::move(tls)});
    return open(protocol, {.tls = std::move(tls)});
  }
  // One that asks for a WebSocket; the headers of RFC 6455 need not be given.
  Client websocket(HttpRequest request = {}) {
    return open(Protocol::kWebSocket, opening(std::move(request)));
  }
  // The same at the gateway that the worker is behind; its events come to this one until it ends.
  ClientOfGateway gateway_client(Protocol protocol, std::optional<TlsInfo> tls = {}) {
    if (protocol == Protocol::kWebSocket) return gateway_websocket({.tls = std::move(tls)});
    return open_at_gateway(protocol, {.tls = std::move(tls)});
  }
  ClientOfGateway gateway_websocket(HttpRequest request = {}) {
    return open_at_gateway(Protocol::kWebSocket, opening(std::move(request)));
  }
  SharedGateway& gateway() { return *host_.get<GatewayHost>().gateway(); }
  std::size_t connections() { return host_.get<StreamHost>().connections(); }

  // Moves the clock; timers fire in their order. The calendar of `cron` stays the system's.
  void advance(milliseconds time) {
    host_.advance(time, [this] { run(); });
    run();
  }
  // What is due now. Other members do so, too; needed behind calls of the test's own.
  void run() { host_.run(); }
  // Until a thread of the plugin has posted something, which then runs. False at the deadline.
  bool wait_posted(milliseconds deadline = std::chrono::seconds(20)) {
    const bool came = host_.wait_posted(deadline);
    run();
    return came;
  }

  // The bus between it and the harnesses that were given the same one (Options::bus).
  SharedBus& bus() { return host_.get<BusHost>().bus(); }

  // The plugin's own descriptors: waits until some that it watches are ready, and calls it for each
  // of these once. False where none is by then.
  bool poll_fds(milliseconds deadline = std::chrono::seconds(20)) {
    const bool any = host_.get<FdHost>().poll(deadline);
    run();
    return any;
  }

  // on_worker_reload: a reload went by, and this worker was kept.
  void reload() {
    life_.reload();
    run();
  }
  // A reload replaces this worker: `successor` gets the connections that on_handover lets go, the
  // others end; clients of the gateway go on with it. Then stop() this one.
  void hand_over_to(Harness& successor) {
    for (std::size_t i = 0; i < host_.extensions().size(); ++i)
      host_.extensions()[i]->hand_over(*successor.host_.extensions()[i]);
    run();
    successor.run();
  }
  // The same for one of its clients: connections move one by one, and both workers go on meanwhile.
  void hand_over_to(Harness& successor, const Client& client) {
    const Connection connection = client.connection();
    host_.get<StreamHost>().move(connection.id(), successor.host_.get<StreamHost>());
    run();
    successor.run();
  }
  // A datagram from a client, and what was sent back to that one since the last call.
  std::vector<std::string> datagram(std::string_view data,
                                    const std::string& remote = "192.0.2.1:5123") {
    host_.get<UdpHost>().deliver(data, remote);
    run();
    return datagrams_to(remote);
  }
  std::vector<std::string> datagrams_to(const std::string& remote) {
    return host_.get<UdpHost>().take(remote);
  }
  // PendingReply objects that there are.
  std::size_t pending_replies() const { return host_.get<UdpHost>().held(); }

  // What the plugin asks of other servers, by number; it goes on where the test answers.
  const std::map<appserver_http_call, Asked>& asked() const {
    return host_.get<ClientHost>().asked();
  }
  void answer_call(appserver_http_call call, std::uint32_t status, const Fields& headers,
                   std::string_view body) {
    host_.get<ClientHost>().answer(call, status, headers, body);
    run();
  }
  // Of a call whose answer the plugin takes in pieces: its head, and some of its body. The end is
  // finish_call or fail_call; answer_call gives all at once.
  void begin_call(appserver_http_call call, std::uint32_t status, const Fields& headers) {
    host_.get<ClientHost>().begin(call, status, headers);
    run();
  }
  void append_call(appserver_http_call call, std::string_view piece) {
    host_.get<ClientHost>().append(call, piece);
    run();
  }
  void finish_call(appserver_http_call call) {
    host_.get<ClientHost>().finish(call);
    run();
  }
  // `failure` is one of APPSERVER_CALL_*.
  void fail_call(appserver_http_call call, std::uint32_t failure, std::string_view message) {
    host_.get<ClientHost>().fail(call, failure, message);
    run();
  }
  // What the plugin has opened to others and waits for, by number; `due` again at once where it is
  // tried again, since the test says when that happens.
  const std::map<appserver_connect, Dialed>& dialed() { return host_.get<ConnectHost>().dialed(); }
  // The first of them that is for this URL succeeds: the peer's side of the connection. Throws
  // std::logic_error where there is none.
  Client outbound(std::string_view url) {
    Client peer(host_.get<ConnectHost>().open(url));
    run();
    return peer;
  }
  // It fails; `failure` is one of APPSERVER_CALL_*.
  void fail_outbound(std::string_view url, std::uint32_t failure, std::string_view why) {
    host_.get<ConnectHost>().fail(url, failure, why);
    run();
  }
  // What the next worker of the slot would get (on_save_state); give it to that one's
  // on_worker_start by Options::predecessor.
  std::optional<SavedState> save_state() { return host_.get<LifecycleHost>().save(); }
  // The worker has stopped accepting: on_worker_drain, once. Its gateway gives it no more events.
  void drain() {
    host_.get<LifecycleHost>().drain();
    host_.get<GatewayHost>().drain();
    run();
  }
  // Ends its connections, then calls on_worker_stop and destroys the plugin. Once.
  void stop() { life_.end(); }

  // Each line "info: ..." or the like, with what the worker logs about hooks that threw.
  std::string logged() const { return host_.logged(); }
  // -1: the plugin has none of this name.
  double metric(const std::string& name) const { return host_.metric_value(name); }
  // How many run.
  std::size_t timers() const { return host_.timers(); }
  Host& host() { return host_; }

 protected:
  void* self() const { return life_.self(); }

 private:
  // With the headers of RFC 6455.
  static HttpRequest opening(HttpRequest request) {
    const Fields fields{{"Host", "test"},
                        {"Upgrade", "websocket"},
                        {"Connection", "Upgrade"},
                        {"Sec-WebSocket-Version", "13"},
                        {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
    request.headers.insert(request.headers.begin(), fields.begin(), fields.end());
    return request;
  }
  static std::shared_ptr<Wire> wire_of(Protocol protocol, const HttpRequest& request) {
    auto wire = std::make_shared<Wire>();
    wire->protocol = protocol;
    wire->remote = request.remote;
    wire->tls = request.tls;
    wire->raw_tls = std::make_shared<const RawTls>(wire->tls);
    wire->listener = scheme_of(protocol, wire->tls.has_value()) + "://" + wire->local;
    return wire;
  }
  Client open(Protocol protocol, const HttpRequest& request) {
    auto wire = wire_of(protocol, request);
    host_.get<StreamHost>().connect(wire, request);
    run();
    return Client(std::move(wire));
  }
  ClientOfGateway open_at_gateway(Protocol protocol, const HttpRequest& request) {
    auto& at = host_.get<GatewayHost>();
    const bool is_websocket = protocol == Protocol::kWebSocket;
    auto client = at.connect(wire_of(protocol, request), is_websocket ? &request : nullptr);
    run();
    return {at.gateway(), std::move(client)};
  }

  Host host_;
  Life life_;
};

// The same for a class: for tests that have it in a header, or several in one executable.
template <class Class>
class HarnessOf : public Harness {
 public:
  static constexpr appserver_plugin kTable = appserver::detail::plugin_table<Class>("test", "0");

  explicit HarnessOf(Options options = {}) : Harness(std::move(options), kTable) {}
  // Until stop().
  Class& plugin() { return appserver::detail::Adapter<Class, Plugin>::plugin_of(self()); }
};

// Why self_check refuses these settings; nullopt where it does not, or the plugin has none.
inline std::optional<std::string> self_check(Options options = {},
                                             const appserver_plugin& plugin = appserver_plugin_v1) {
  Host host(std::move(options));
  Life life(host, plugin);
  if (life.created() == APPSERVER_OK && life.self_check() == APPSERVER_OK) return std::nullopt;
  return host.errors();
}

}  // namespace appserver::testing
