// Accepts connections from a listening socket that another process owns.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "os/fd.hpp"

namespace appserver::net {

// May be destroyed at any time but from within its own hooks.
class Acceptor final {
 public:
  struct Hooks {
    std::function<bool()> has_room;        // false: leave connections in the kernel's queue
    std::function<void(os::Fd)> accepted;  // non-blocking, close-on-exec
    std::function<void(const std::string&)>
        complain;  // accept(2) fails for want of a resource; says what becomes of the clients
  };

  Acceptor(boost::asio::io_context& context, os::Fd listener, Hooks hooks);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  void start();

  // To be called when has_room turned true again.
  void resume();

  // Stops, with our descriptor closed. With `empty_queue`, takes first what clients have already
  // queued, whether there is room or not: for a socket that nobody accepts from afterwards.
  void stop(bool empty_queue);

 private:
  enum class Batch { drained, more, blocked };

  void wait();
  void on_readable();
  Batch accept_batch();
  void back_off(int error);

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> listener_;
  boost::asio::steady_timer retry_;
  Hooks hooks_;
  // Handlers that are queued when this ends find it expired.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  bool started_ = false;
  bool waiting_ = false;
  bool stopped_ = false;
};

}  // namespace appserver::net
