// "connect/1" of a host in memory: connections to others, whose other end the test holds.
#pragma once

#include <appserver/abi/client.h>
#include <appserver/abi/connect.h>

#include <algorithm>
#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/http_host.hpp>
#include <appserver/detail/testing/stream_host.hpp>
#include <appserver/detail/testing/wire.hpp>
#include <appserver/detail/text.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// An outbound connection that is not open.
struct Dialed {
  std::string url;
  std::uint32_t retries;  // that are left
  std::uint64_t min_delay_ms;
  Fields headers;
  std::vector<std::string> subprotocols;
};

// What it keeps of the contract is the order of calls; delays are told, but it is the test that
// opens or fails, whenever it does.
class ConnectHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_CONNECT;
  static const void* table() noexcept {
    static constexpr appserver_connect_host kTable{sizeof(appserver_connect_host), 0, &start,
                                                   &cancel};
    return &kTable;
  }
  using Extension::Extension;

  void detach() override {
    dialed_.clear();
    links_.clear();
  }

  const std::map<appserver_connect, Dialed>& dialed() const { return dialed_; }

  std::shared_ptr<Wire> open(std::string_view url) {
    const appserver_connect id = find(url);
    const Dialed dialed = std::move(dialed_.extract(id).mapped());
    auto wire = std::make_shared<Wire>();
    wire->protocol = protocol_of(url);
    wire->listener = url;
    if (!dialed.subprotocols.empty()) wire->subprotocol = dialed.subprotocols.front();
    const std::shared_ptr<Link> link = links_.at(id);
    link->dialed = dialed;
    streams().open(wire, link);
    return wire;
  }

  void fail(std::string_view url, std::uint32_t failure, std::string_view why) {
    const appserver_connect id = find(url);
    const Dialed dialed = std::move(dialed_.extract(id).mapped());
    const std::shared_ptr<Link> link = links_.at(id);
    const std::string told = dialed.url + ": " + std::string(why);
    const std::uint64_t again = go_on(*link, dialed, failure != APPSERVER_CALL_REQUEST);
    if (link->events.on_failed != nullptr)
      link->events.on_failed(link->argument, failure, detail::str(told), again);
  }

 private:
  struct Link final : OutboundHooks {
    std::int32_t on_open(appserver_connection connection) override {
      open = connection;
      failed = false;
      if (events.on_open == nullptr) return APPSERVER_OK;
      const std::int32_t result = events.on_open(argument, connection);
      failed = result != APPSERVER_OK;
      return result;
    }
    std::int32_t on_message(appserver_connection connection, std::uint32_t kind,
                            appserver_str message) override {
      if (host == nullptr) return APPSERVER_OK;
      const std::int32_t result = events.on_message(argument, connection, kind, message);
      failed = result != APPSERVER_OK && result != APPSERVER_FAILED;
      return result;
    }
    void on_close(appserver_connection connection, std::uint32_t reason, std::uint32_t code,
                  appserver_str text) override {
      open = 0;
      if (host == nullptr) return;
      const bool wanted =
          (reason == APPSERVER_CLOSED_BY_PLUGIN && !failed) || reason == APPSERVER_CLOSED_DRAINED;
      appserver_connect_end end{};
      end.size = sizeof(end);
      end.reason = reason;
      end.code = code;
      end.text = text;
      end.again_ms = host->go_on(*this, dialed, !wanted);
      if (events.on_close != nullptr) events.on_close(argument, connection, &end);
    }
    void on_buffer_full(appserver_connection connection) override {
      if (host != nullptr && events.on_buffer_full != nullptr)
        events.on_buffer_full(argument, connection);
    }
    void on_buffer_drain(appserver_connection connection) override {
      if (host != nullptr && events.on_buffer_drain != nullptr)
        events.on_buffer_drain(argument, connection);
    }

    ConnectHost* host = nullptr;  // null once it is over
    appserver_connect id = 0;
    appserver_connect_events events{};
    void* argument = nullptr;
    Dialed dialed{};
    appserver_connection open = 0;
    bool failed = false;
  };

  StreamHost& streams() { return core().extension<StreamHost>(); }

  appserver_connect find(std::string_view url) const {
    for (const auto& [id, dialed] : dialed_) {
      if (dialed.url == url) return id;
    }
    throw std::logic_error("the plugin does not connect to " + std::string(url));
  }

  static Protocol protocol_of(std::string_view url) {
    if (url.starts_with("ws")) return Protocol::kWebSocket;
    if (url.starts_with("text")) return Protocol::kText;
    return url.starts_with("frame") ? Protocol::kFrame : Protocol::kTcp;
  }

  // What the plugin is told of it.
  std::uint64_t go_on(Link& link, Dialed dialed, bool may) {
    if (!may || dialed.retries == 0) {
      link.host = nullptr;
      links_.erase(link.id);
      return APPSERVER_CONNECT_NO_MORE;
    }
    if (dialed.retries != APPSERVER_CONNECT_FOREVER) --dialed.retries;
    const std::uint64_t delay = dialed.min_delay_ms;
    dialed_[link.id] = std::move(dialed);
    return delay;
  }

  static std::int32_t start(appserver_worker* worker, appserver_str url,
                            const appserver_connect_options* options,
                            const appserver_connect_events* events, void* argument,
                            appserver_connect* connect) noexcept {
    Core& core = Core::of(worker);
    if (!core.on_loop() || events == nullptr || events->on_message == nullptr)
      return APPSERVER_INVALID;
    auto& host = core.extension<ConnectHost>();
    Dialed dialed{std::string(detail::view(url)), 0, 500, {}, {}};
    if (options != nullptr) {
      dialed.retries = options->retries;
      if (options->min_delay_ms != 0) dialed.min_delay_ms = options->min_delay_ms;
      for (std::uint32_t i = 0; i < options->header_count; ++i) {
        dialed.headers.emplace_back(detail::view(options->headers[i].name),
                                    detail::view(options->headers[i].value));
      }
      for (std::uint32_t i = 0; i < options->subprotocol_count; ++i)
        dialed.subprotocols.emplace_back(detail::view(options->subprotocols[i]));
    }
    const auto link = std::make_shared<Link>();
    link->host = &host;
    link->id = *connect = ++host.last_;
    link->events = *events;
    link->argument = argument;
    host.links_[link->id] = link;
    host.dialed_[link->id] = std::move(dialed);
    return APPSERVER_OK;
  }

  static std::int32_t cancel(appserver_worker* worker, appserver_connect connect) noexcept {
    auto& host = Core::of(worker).extension<ConnectHost>();
    const auto found = host.links_.find(connect);
    if (found == host.links_.end()) return APPSERVER_NOT_FOUND;
    const std::shared_ptr<Link> link = found->second;
    host.links_.erase(found);
    host.dialed_.erase(connect);
    link->host = nullptr;
    const auto* const stream = static_cast<const appserver_stream_host*>(StreamHost::table());
    if (link->open != 0) stream->close(worker, link->open, 0, {});
    return APPSERVER_OK;
  }

  std::map<appserver_connect, Dialed> dialed_;
  std::map<appserver_connect, std::shared_ptr<Link>> links_;
  appserver_connect last_ = 0;
};

}  // namespace appserver::testing
