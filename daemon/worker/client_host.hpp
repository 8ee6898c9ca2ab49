// "client/1" between a plugin and what it asks of others.
#pragma once

#include <appserver/abi/client.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <optional>

#include "net/client/http_client.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread, but where it says so.
class ClientHost final {
 public:
  ClientHost(PluginHost& host, boost::asio::io_context& context) : host_(host), http_(context) {}

  // Host side; see abi/client.h. [any-thread], to be told where they may be called.
  std::int32_t http_start(const appserver_client_request& request,
                          void (*done)(void*, const appserver_client_response*) noexcept,
                          void* argument, appserver_http_call& call);
  std::int32_t http_stream(const appserver_client_request& request,
                           const appserver_client_stream& stream, void* argument,
                           appserver_http_call& call);
  std::int32_t http_pause(appserver_http_call call, bool paused);
  std::int32_t http_cancel(appserver_http_call call);

  // Nothing is called any more.
  void stop();

 private:
  PluginHost& host_;
  net::client::HttpClient http_;
  bool stopped_ = false;
};

const appserver_client_host& client_host_table();

}  // namespace appserver::worker
