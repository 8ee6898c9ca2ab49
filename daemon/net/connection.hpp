// What all connections of a worker share: a socket whose readiness is waited for, and the bytes
// that the kernel would not take yet.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/timer_wheel.hpp"
#include "os/fd.hpp"

namespace appserver::net {

// Waits for readiness and reads by itself, into a buffer of the worker's, so that an idle
// connection holds none and has no byte outside the kernel: that is what makes handing it over free
// of races. Must not be destroyed while may_be_removed() is false: handlers will still run.
class Connection : protected TimerWheel::Entry {
 public:
  bool is_closed() const { return closed_; }
  bool is_scheduled() const { return scheduled_; }
  void set_scheduled(bool scheduled) { scheduled_ = scheduled; }
  bool may_be_removed() const { return closed_ && outstanding_ == 0 && !scheduled_; }
  std::size_t pending_output() const { return output_.size() - output_sent_; }

 protected:
  Connection(boost::asio::io_context& context, os::Fd socket);

  virtual void on_readable() = 0;
  virtual void on_writable() = 0;
  // The last thing that a handler does: the connection may go now.
  virtual void settle() = 0;

  void wait_for_input();
  void wait_for_output();

  // As recv(2), over interruptions; -1 with EAGAIN where nothing has come.
  ssize_t receive(std::span<char> into);
  bool has_unread_input();
  // No more is sent: the peer reads an end behind what was sent before.
  void shut_down_sending();

  // Bytes for the kernel, behind those that wait.
  std::string& output() { return output_; }
  std::string take_output();
  // Sends what waits and then `more`; what the kernel does not take waits. False: the peer is gone.
  bool flush(std::string_view more);

  std::string_view remote();
  int descriptor() { return socket_.native_handle(); }

  // Both end it for us: no wait of it calls on_readable() or on_writable() any more.
  void close_socket();
  // Out of epoll before anybody else can have the descriptor.
  os::Fd release_socket();

  // The wheel holds the limit of a peer that takes nothing; ended by flush() when it takes some.
  bool timing_output_ = false;
  std::uint64_t sent_ = 0;  // bytes that the kernel took

 private:
  bool send_some(std::string_view data, std::size_t& sent);

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  std::string output_;
  std::size_t output_sent_ = 0;
  std::string remote_;
  std::uint32_t outstanding_ = 0;  // handlers that will still run
  bool reading_ = false;
  bool writing_ = false;
  bool scheduled_ = false;
  bool closed_ = false;
};

}  // namespace appserver::net
