// "connect/1" between a plugin and the connections that it opens.
#pragma once

#include <appserver/abi/connect.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <optional>

#include "net/client/connector.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread, but where it says so.
class ConnectHost final {
 public:
  ConnectHost(PluginHost& host, boost::asio::io_context& context)
      : host_(host), context_(context) {}

  // Not called in a process that serves nothing: nothing can be opened there.
  void start(net::StreamServer& streams);

  // Host side; see abi/connect.h. [any-thread], to be told where they may be called.
  std::int32_t begin(appserver_str url, const appserver_connect_options* options,
                     const appserver_connect_events& events, void* argument,
                     appserver_connect& connect);
  std::int32_t cancel(appserver_connect connect);

  // All clients are served: attempts end, and open connections are closed politely.
  void close();
  // What is open is cut, and told so; nothing is called afterwards.
  void stop();

 private:
  PluginHost& host_;
  boost::asio::io_context& context_;
  net::StreamServer* streams_ = nullptr;
  std::optional<net::client::Connector> connector_;
  bool closing_ = false;
};

const appserver_connect_host& connect_host_table();

}  // namespace appserver::worker
