// "udp/1" of a host in memory: datagrams to the plugin, and what it sends to each of its clients.
#pragma once

#include <appserver/abi/udp.h>

#include <appserver/detail/testing/core.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

class UdpHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_UDP;
  static const void* table() noexcept {
    static constexpr appserver_udp_host kTable{sizeof(appserver_udp_host), 0, &send, &hold,
                                               &release};
    return &kTable;
  }
  using Extension::Extension;

  void attach(const appserver_plugin& plugin, void* self) override {
    plugin_ = read_table<appserver_udp_plugin>(plugin, kName);
    self_ = self;
  }
  void detach() override { self_ = nullptr; }

  // Throws std::logic_error where the plugin takes no datagrams.
  void deliver(std::string_view data, const std::string& remote) {
    if (self_ == nullptr || plugin_.on_datagram == nullptr)
      throw std::logic_error("a datagram for a plugin that has no on_datagram, or has ended");
    constexpr std::string_view kListener = "udp://127.0.0.1:0";
    appserver_datagram datagram{};
    datagram.size = sizeof(datagram);
    datagram.data = {data.data(), data.size()};
    datagram.remote = {remote.data(), remote.size()};
    datagram.listener = {kListener.data(), kListener.size()};
    datagram.peer.opaque[0] = peers_.try_emplace(remote, peers_.size() + 1).first->second;
    core().forget_error();
    if (plugin_.on_datagram(self_, &datagram) != APPSERVER_OK) core().log_failure("on_datagram");
  }

  // What was sent there since the last call.
  std::vector<std::string> take(const std::string& remote) {
    const auto peer = peers_.find(remote);
    return peer == peers_.end() ? std::vector<std::string>()
                                : std::exchange(sent_[peer->second], {});
  }
  // Answers that a worker that drains would wait for.
  std::size_t held() const { return held_; }

 private:
  static constexpr std::size_t kMost = 65'507;

  static UdpHost& of(appserver_worker* worker) { return Core::of(worker).extension<UdpHost>(); }

  static std::int32_t send(appserver_worker* worker, const appserver_udp_peer* peer,
                           appserver_str data) noexcept {
    UdpHost& host = of(worker);
    const bool known = peer->opaque[0] > 0 && peer->opaque[0] <= host.peers_.size();
    if (!known || data.size > kMost) return APPSERVER_INVALID;
    host.sent_[peer->opaque[0]].emplace_back(data.size == 0 ? "" : data.data, data.size);
    return APPSERVER_OK;
  }
  static std::int32_t hold(appserver_worker* worker) noexcept {
    ++of(worker).held_;
    return APPSERVER_OK;
  }
  static std::int32_t release(appserver_worker* worker) noexcept {
    if (of(worker).held_ == 0) return APPSERVER_INVALID;
    --of(worker).held_;
    return APPSERVER_OK;
  }

  appserver_udp_plugin plugin_{};
  void* self_ = nullptr;
  std::map<std::string, std::uint64_t> peers_;
  std::map<std::uint64_t, std::vector<std::string>> sent_;
  std::size_t held_ = 0;
};

}  // namespace appserver::testing
