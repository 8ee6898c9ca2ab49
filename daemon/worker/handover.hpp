// Moving open connections from a worker to its successor: one message a connection, with its
// descriptor and the bytes that were read ahead of it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "os/fd.hpp"

namespace appserver::worker {

struct Handed {
  os::Fd connection;
  std::string received;
};

class HandoverSender final {
 public:
  // `lost` gets what is left when the successor is found gone, and each connection that is given to
  // send() after that.
  HandoverSender(boost::asio::io_context& context, os::Fd socket,
                 std::function<void(std::deque<Handed>)> lost);

  void send(Handed connection);
  bool empty() const { return queue_.empty(); }
  void on_empty(std::function<void()> call) { on_empty_ = std::move(call); }
  // Connections still waiting here, to be closed: the deadline has come.
  std::size_t cut();

 private:
  void pump();

  os::Fd socket_;
  boost::asio::steady_timer retry_;
  std::deque<Handed> queue_;
  std::function<void(std::deque<Handed>)> lost_;
  std::function<void()> on_empty_;
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // for handlers still queued
  bool waiting_ = false;
  bool is_lost_ = false;
};

class HandoverReceiver final {
 public:
  // `ended` is called once, when the predecessor has no more to give; it may destroy this object.
  HandoverReceiver(boost::asio::io_context& context, os::Fd socket,
                   std::function<void(Handed)> received, std::function<void()> ended);

 private:
  void wait();
  bool has_spare_descriptor();
  bool receive_some();

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  boost::asio::steady_timer retry_;
  bool starved_ = false;
  std::function<void(Handed)> received_;
  std::function<void()> ended_;
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // for handlers still queued
};

}  // namespace appserver::worker
