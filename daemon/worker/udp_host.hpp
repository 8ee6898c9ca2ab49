// "udp/1" between a plugin and the datagrams of its worker.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/udp.h>

#include <cstdint>
#include <optional>

#include "net/datagram_server.hpp"

namespace appserver::worker {

class PluginHost;

// On the loop's thread, but where it says so.
class UdpHost final : public net::DatagramHandler {
 public:
  explicit UdpHost(PluginHost& host) : host_(host) {}

  // Reads the plugin's table.
  void load(const appserver_plugin& plugin);
  bool has_plugin() const { return plugin_.has_value(); }
  void start(net::DatagramServer& server) { server_ = &server; }

  bool on_datagram(const appserver_datagram& datagram) override;

  // The host's functions, as the C table calls them: null where they may not be called, with why in
  // `refusal`. [any-thread]
  net::DatagramServer* server(std::int32_t& refusal) const;

 private:
  PluginHost& host_;
  net::DatagramServer* server_ = nullptr;  // null in a process that serves nothing
  std::optional<appserver_udp_plugin> plugin_;
};

const appserver_udp_host& udp_host_table();

}  // namespace appserver::worker
