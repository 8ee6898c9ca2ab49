// The one header of a plugin: derive from Plugin, override what is needed, APPSERVER_PLUGIN at the
// end of one source file.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/note.h>

#include <appserver/connection.hpp>
#include <appserver/datagram.hpp>
#include <appserver/detail/adapter.hpp>
#include <appserver/detail/overrides.hpp>
#include <appserver/gateway_client.hpp>
#include <appserver/http.hpp>
#include <appserver/state.hpp>
#include <appserver/task.hpp>
#include <appserver/upgrade.hpp>
#include <appserver/worker.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace appserver {

// One object a worker process. Every hook runs on the worker's event-loop thread: one that blocks
// holds up the whole worker. An exception that leaves a hook is reported with its type and text,
// and the worker lives; where a hook says nothing else, that is all that becomes of it. What a hook
// gets by reference or as a view is valid until it returns, a Worker as long as the plugin.
//
// Rules that the process model gives: no exit(), no signal handlers, no namespace-scope objects
// whose constructors may throw, threads joined in on_worker_stop (or by members' destructors).
class Plugin {
 public:
  Plugin() = default;
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  virtual ~Plugin() = default;

  // Whether this build could serve with these settings: files that can be read, tables that are not
  // empty. Runs on an object of its own, in a throw-away process in which there is no request and
  // no timer or posted function ever runs, while the workers that serve go on: leave alone what
  // only one process may hold. An exception: the build is refused, and nothing is touched.
  virtual void self_check(Worker& worker) { static_cast<void>(worker); }

  // The worker is about to serve. An exception: it fails to start, and with it the rollout that
  // started it.
  virtual void on_worker_start(Worker& worker) { static_cast<void>(worker); }

  // A reload went by and this worker was kept, because its group has `reloadable: false`.
  virtual void on_worker_reload(Worker& worker) { static_cast<void>(worker); }

  // What the next worker of this slot is to find in Worker::predecessor_state(). Called when that
  // one is about to start, in a reload, a rollback or a recycling, while this one goes on serving:
  // what changes from here on does not go along. Where the two may not run side by side, right
  // before on_worker_stop. Again for a further successor, where the first did not come to serve.
  // Two seconds, 16 MiB; with more of either, with an exception, or after a crash, the successor
  // starts empty.
  virtual void on_save_state(SavedState& state) { static_cast<void>(state); }

  // The worker has stopped accepting connections and ends once what is under way is answered, or
  // reload.drain_timeout is over: end what would go on for ever, such as streams. Requests may
  // still come, on connections that were open.
  virtual void on_worker_drain(Worker& worker) { static_cast<void>(worker); }

  // The worker has drained and ends after this; no timer and no posted function runs any more. Join
  // your threads here, without waiting for anything that they posted.
  virtual void on_worker_stop(Worker& worker) { static_cast<void>(worker); }

  // One request. An exception: the client gets 500 (400 for BadRequest). A plugin without this hook
  // cannot serve HTTP.
  virtual void on_request(Request& request, Response& response) {
    static_cast<void>(request);
    response.status(404).text("Not Found\n");
  }

  // The same as a coroutine, in place of on_request: both references live as long as it does. When
  // its client has gone it is cancelled, see Task. An exception, also a late one: 500 or 400.
  virtual Task<void> on_request_async(Request& request, Response& response) {
    static_cast<void>(request);
    response.status(404).text("Not Found\n");
    co_return;
  }

  // Connections of ws://, text://, frame:// and tcp:// listeners, and WebSockets that begin with a
  // request on an http:// listener. A plugin without on_message has none.

  // A client has connected. An exception: it is cut off, and on_close does not follow.
  virtual void on_connect(Connection connection) { static_cast<void>(connection); }

  // A client asks for a WebSocket: `upgrade` may refuse it or choose a subprotocol. What is sent
  // from here goes out behind the host's answer. Browsers let any page ask: look at the header
  // Origin where cookies say who somebody is. An exception: 500. After a refusal no on_close
  // follows.
  virtual void on_websocket_open(Connection connection, const Request& request, Upgrade& upgrade) {
    static_cast<void>(request);
    static_cast<void>(upgrade);
    on_connect(connection);
  }

  // One message, valid until the hook returns: of a WebSocket, a line, a frame, or the bytes that
  // have come. An exception: it is logged, and on_error follows.
  virtual void on_message(Connection connection, Message message) {
    static_cast<void>(connection);
    static_cast<void>(message);
  }

  // It has ended, by whomever. Its context can still be read, and is destroyed after this.
  virtual void on_close(Connection connection, Close close) {
    static_cast<void>(connection);
    static_cast<void>(close);
  }

  // An exception left on_message; `what` is its type and text. Closes the connection where the
  // plugin does not decide otherwise, and where this throws, too.
  virtual void on_error(Connection connection, std::string_view what) {
    static_cast<void>(what);
    connection.close();
  }

  // limits.send_buffer bytes wait for the peer: send takes no more until on_buffer_drain, when a
  // quarter of that is left. A peer that takes nothing for limits.send_timeout is cut.
  virtual void on_buffer_full(Connection connection) { static_cast<void>(connection); }
  virtual void on_buffer_drain(Connection connection) { static_cast<void>(connection); }

  // In a reload the connection moves to the worker's successor: `state`, at most 64 KiB, is what
  // on_adopt gets there in place of an on_connect, perhaps by another build. Nothing else follows
  // here. An exception, or a plugin without both hooks: it does not move, and is ended politely.
  virtual void on_handover(Connection connection, std::string& state) {
    static_cast<void>(connection);
    static_cast<void>(state);
  }
  // `state` may be an older or a newer build's. An exception: the connection is closed.
  virtual void on_adopt(Connection connection, std::string_view state) {
    static_cast<void>(connection);
    static_cast<void>(state);
  }

  // Own framing for tcp:// listeners: how many bytes the first message of `data` has, 0 where that
  // cannot be told yet. `data` is never empty, and begins where that message does each time it is
  // shown. ProtocolError: what came is no message; any exception closes the connection.
  virtual std::size_t measure(Connection connection, std::string_view data) {
    static_cast<void>(connection);
    return data.size();
  }

  // One datagram of a udp:// listener, valid until the hook returns. An exception is logged and
  // counted, and nothing is answered. A plugin without this hook has none.
  virtual void on_datagram(Datagram& datagram) { static_cast<void>(datagram); }

  // Clients of a gateway, in a business group: each is with one worker at a time, whose hooks get
  // its events in their order. An exception is logged and counted. A plugin without
  // on_client_message has none.

  // A client has connected to the gateway.
  virtual void on_client_connect(GatewayClient& client) { static_cast<void>(client); }

  // It has come over ws:// or wss://, by this request; the WebSocket is open already.
  virtual void on_client_websocket_open(GatewayClient& client, const Request& request) {
    static_cast<void>(client);
    static_cast<void>(request);
  }

  // One message, valid until the hook returns. Where a worker ended before it had handled it,
  // another gets it once more: see GatewayClient::redelivered.
  virtual void on_client_message(GatewayClient& client, Message message) {
    static_cast<void>(client);
    static_cast<void>(message);
  }

  // It has ended, by whomever; with kFailure also where the gateway worker that held it has.
  virtual void on_client_close(GatewayClient& client, Close close) {
    static_cast<void>(client);
    static_cast<void>(close);
  }

  // For the SDK.
  void attach(Worker& worker) noexcept { worker_ = &worker; }

 protected:
  // The worker of self_check and on_worker_start. Not in the constructor, where there is none yet.
  Worker& worker() const noexcept { return *worker_; }

 private:
  Worker* worker_ = nullptr;
};

namespace detail {

#define APPSERVER_DETAIL_IS_HOOK(context, result, hook, parameters)                    \
  static_assert(std::is_same_v<decltype(&Plugin::hook), result(Plugin::*) parameters>, \
                "overrides.hpp has another " #hook " than Plugin");
APPSERVER_DETAIL_HOOKS(APPSERVER_DETAIL_IS_HOOK, )
#undef APPSERVER_DETAIL_IS_HOOK

template <class Class>
constexpr appserver_plugin plugin_table(const char* name, const char* version) noexcept {
  static_assert(std::is_base_of_v<Plugin, Class>,
                "a plugin class derives publicly from appserver::Plugin");
  static_assert(std::is_default_constructible_v<Class>,
                "a plugin class has a public constructor without arguments");
  static_assert(!std::is_abstract_v<Class>, "a plugin class is not abstract");
  return Adapter<Class, Plugin>::table(name, version);
}

}  // namespace detail
}  // namespace appserver

// Makes Class the plugin of this shared object: its ELF note and its one exported symbol. Once, at
// namespace scope, in one source file. `name` and `version` are string literals of at most 63 and
// 31 characters.
#define APPSERVER_PLUGIN(Class, name, version)                 \
  APPSERVER_NOTE(name, version);                               \
  extern "C" {                                                 \
  constinit const appserver_plugin appserver_plugin_v1 =       \
      ::appserver::detail::plugin_table<Class>(name, version); \
  }                                                            \
  APPSERVER_DETAIL_CHECK_HOOKS(Class);
