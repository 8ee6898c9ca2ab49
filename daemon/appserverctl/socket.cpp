#include "appserverctl/socket.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "config/load.hpp"

namespace appserver::appserverctl {

namespace {

std::filesystem::path find_socket(const Options& options, const Console& console) {
  if (!options.socket.empty()) return options.socket;
  if (!options.config.empty()) {
    if (!std::filesystem::exists(options.config)) {
      throw std::runtime_error(fmt::format("there is no file {}", options.config));
    }
    return config::load_daemon(options.config, console.environment).control_socket;
  }
  if (const auto socket = console.environment("APPSERVER_SOCKET"); socket && !socket->empty())
    return *socket;
  std::filesystem::path near("run/appserverd.sock");
  std::error_code ignored;
  if (std::filesystem::exists(near, ignored)) return near;
  return "/run/appserverd/appserverd.sock";
}

}  // namespace

control::Client find_daemon(const Options& options, const Console& console) {
  return control::Client(find_socket(options, console));
}

}  // namespace appserver::appserverctl
