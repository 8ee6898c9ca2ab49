// The server side of the control API: HTTP/1.1 and JSON over a unix socket.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>

#include "control/commands.hpp"
#include "control/peer.hpp"

namespace appserver::control {

struct ServerOptions {
  std::filesystem::path socket;
  std::chrono::milliseconds request_timeout{10'000};  // for a whole request to arrive, from accept
  std::chrono::milliseconds write_timeout{10'000};    // for a reader to take anything more
  std::size_t max_connections = 32;                   // the next one is answered 503 at once
  std::size_t for_operators = 8;                      // of these; readers never take the last ones
  std::size_t max_request = 64 * 1024;                // head and body, each
  std::size_t max_unread = 1u << 20;  // bytes of a stream that wait for a slow reader
  std::function<Credentials(int fd)> credentials = peer_credentials;
};

// Serves from construction until destruction. One request per connection. Callers with uid 0 or our
// own effective uid operate, everybody else who can open the socket only reads.
//
// Lives on the io_context's thread, must be destroyed before the io_context, and may be destroyed
// at any time, from inside a command too: open connections are closed, after what fits was handed
// to the kernel.
class Server {
 public:
  // Throws AlreadyRunning, os::SystemError or std::invalid_argument (see SocketFile). `commands`
  // must outlive the server.
  Server(boost::asio::io_context& context, ServerOptions options, Commands& commands);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::size_t connections() const;

 private:
  class Listener;
  std::shared_ptr<Listener> listener_;
};

}  // namespace appserver::control
