// A plugin host and its server without their process, with a plugin whose hooks are the test's.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http_server_harness.hpp"
#include "scripted_plugin.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::test {

inline appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

inline channel::Boot boot_of(const std::string& file, const std::string& settings) {
  channel::Boot boot;
  boot.slot = 3;
  boot.generation = 7;
  boot.plugin_file = file;
  boot.build = "abc";
  boot.group.name = "shop";
  boot.group.settings = settings;
  return boot;
}

// A worker without its process: host, server and one scripted plugin.
struct Hosting : ScriptedPlugin {
  explicit Hosting(const std::string& file = APPSERVER_SCRIPTED_PLUGIN)
      : Hosting(os::make_socket_pair(SOCK_SEQPACKET), file) {}

  void start() {
    plugin.load();
    plugin.start(server, streams);
  }

  Client connect() {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    server.serve(std::move(served));
    return Client(std::move(client));
  }

  template <typename State>
  bool until(State&& state) {
    return run_until(context, state);
  }

  bool answered(Client& client, std::size_t answers) {
    return until([&] {
      client.read_all();
      return client.answers() >= answers;
    });
  }

  std::string next_log() {
    os::Packet packet;
    return os::receive_packet(supervisor.get(), 64 * 1024, packet) == os::ReceiveResult::received
               ? packet.data
               : "";
  }

  std::int32_t create(const appserver_host* its_host,
                      appserver_worker* its_worker) noexcept override {
    hooks.push_back("create");
    host = its_host;
    worker = its_worker;
    http = static_cast<const appserver_http_host*>(host->extension(APPSERVER_HTTP));
    return at_create;
  }
  void destroy() noexcept override { hooks.push_back("destroy"); }
  std::int32_t on_worker_start() noexcept override {
    hooks.push_back("on_worker_start");
    if (on_start) on_start();
    return at_start;
  }
  void on_worker_reload() noexcept override { hooks.push_back("on_worker_reload"); }
  void on_worker_stop() noexcept override {
    hooks.push_back("on_worker_stop");
    if (on_stop) on_stop();
  }
  std::int32_t on_request(const appserver_http_request* request,
                          appserver_exchange exchange) noexcept override {
    exchanges.push_back(exchange);
    return on(request, exchange);
  }

  boost::asio::io_context context{1};
  os::Fd supervisor;
  telemetry::WorkerPage page;
  channel::Boot boot;
  worker::WorkerLog log;
  worker::PluginHost plugin{context, boot, page, log};
  net::HttpServer server{context, small_limits(), plugin, page};
  net::StreamServer streams{context, {}, plugin.streams(), page};

  const appserver_host* host = nullptr;
  appserver_worker* worker = nullptr;
  const appserver_http_host* http = nullptr;
  std::int32_t at_create = APPSERVER_OK;
  std::int32_t at_start = APPSERVER_OK;
  std::function<void()> on_start;
  std::function<void()> on_stop;
  std::vector<std::string> hooks;
  std::vector<appserver_exchange> exchanges;
  std::function<std::int32_t(const appserver_http_request*, appserver_exchange)> on =
      [this](const appserver_http_request*, appserver_exchange exchange) {
        return http->defer(worker, exchange);
      };

 private:
  Hosting(std::pair<os::Fd, os::Fd> pair, const std::string& file)
      : supervisor(std::move(pair.first)),
        boot(boot_of(file, fmt::format(R"({{"script":{},"db":{{"host":"local"}}}})",
                                       reinterpret_cast<std::uintptr_t>(
                                           static_cast<ScriptedPlugin*>(this))))),
        log(std::move(pair.second), config::LogLevel::debug, page) {}
};

}  // namespace appserver::test
