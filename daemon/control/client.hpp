// The client side of the control API: synchronous calls over the unix socket, each with a deadline.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "control/api.hpp"
#include "control/peer.hpp"

namespace appserver::control {

// Nobody answers at the socket: there is no daemon.
class NoDaemon : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The deadline passed; what was asked for may still happen.
class TimedOut : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The caller's own descriptor said so (see interrupt_on); what was asked for may still happen.
class Interrupted : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Connected, and then the daemon went away or spoke something else.
class LostConnection : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The daemon answered with an error; what() is "error; hint".
class Refused : public std::runtime_error {
 public:
  Refused(unsigned http_status, const ErrorReply& reply);
  unsigned http_status() const { return http_status_; }

 private:
  unsigned http_status_;
};

// Called with each line of a streamed answer, without its newline. False: that was enough.
using OnLine = std::function<bool(std::string_view line)>;

// No timeout: as long as it takes.
using Timeout = std::optional<std::chrono::milliseconds>;

// Holds no connection between calls. Every call throws NoDaemon, TimedOut, Interrupted,
// LostConnection, Refused, or os::SystemError where the socket may not be opened.
class Client {
 public:
  explicit Client(std::filesystem::path socket) : socket_(std::move(socket)) {}

  const std::filesystem::path& socket() const { return socket_; }

  // From now on a call ends as soon as this descriptor is readable, and leaves it unread. It must
  // outlive the calls.
  void interrupt_on(int fd) { interrupt_ = fd; }

  // The body of a 2xx answer.
  std::string get(std::string_view target, Timeout timeout) const;
  std::string post(std::string_view target, const boost::json::value& body, Timeout timeout) const;

  // Give the lines of the answer as they arrive, and return at its end or when `on_line` has had
  // enough: `watch` those of a GET, `stream` those of a POST.
  void watch(std::string_view target, Timeout timeout, const OnLine& on_line) const;
  void stream(std::string_view target, const boost::json::value& body, Timeout timeout,
              const OnLine& on_line) const;

  // The process that listens.
  Credentials daemon() const;

 private:
  std::filesystem::path socket_;
  int interrupt_ = -1;
};

}  // namespace appserver::control
