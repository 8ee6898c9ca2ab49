// The one header of a plugin: derive from Plugin, override what is needed, APPSERVER_PLUGIN at the
// end of one source file.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/note.h>

#include <appserver/detail/adapter.hpp>
#include <appserver/http.hpp>
#include <appserver/worker.hpp>
#include <type_traits>

namespace appserver {

// One object a worker process. Every hook runs on the worker's event-loop thread: one that blocks
// holds up the whole worker. An exception that leaves a hook is reported with its type and text;
// the worker lives.
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

  // The worker has drained and ends after this; no timer and no posted function runs any more. Join
  // your threads here, without waiting for anything that they posted.
  virtual void on_worker_stop(Worker& worker) { static_cast<void>(worker); }

  // One request. An exception: the client gets 500 (400 for BadRequest). A plugin without this hook
  // cannot serve HTTP.
  virtual void on_request(Request& request, Response& response) {
    static_cast<void>(request);
    response.status(404).text("Not Found\n");
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
  }
