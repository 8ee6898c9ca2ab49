// One socket of a udp:// listener, and reading from it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "os/fd.hpp"

namespace appserver::net {

class DatagramServer;

class DatagramSocket final {
 public:
  // Datagrams that one turn of the loop takes at most, so that a flood of them does not starve
  // connections.
  static constexpr std::size_t kBatch = 16;

  DatagramSocket(DatagramServer& server, os::Fd socket, std::uint32_t listener);
  DatagramSocket(const DatagramSocket&) = delete;
  DatagramSocket& operator=(const DatagramSocket&) = delete;

  void start();
  // As DatagramServer::stop.
  void stop(bool empty_queue);
  // What the kernel had to drop since the last call.
  std::uint32_t newly_lost();

 private:
  enum class Batch { some, empty, failed };

  void wait();
  Batch read_batch();
  void back_off();
  std::uint32_t lost();

  DatagramServer& server_;
  std::uint32_t listener_;
  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  boost::asio::steady_timer retry_;
  std::uint32_t lost_ = 0;
  // Handlers that are queued when this ends find it expired.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace appserver::net
