// Moving open connections from a worker to its successor: one message a connection, with its
// descriptor and what is known of it. The sender keeps each until the successor has said that it
// has taken it, so that none is lost with a successor that dies.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "net/handed.hpp"
#include "os/fd.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::worker {

using net::Handed;

class HandoverSender final {
 public:
  // `lost` gets what is left when the successor is found gone, and each connection that is given to
  // send() after that.
  HandoverSender(boost::asio::io_context& context, os::Fd socket,
                 std::function<void(std::deque<Handed>)> lost);

  void send(Handed connection);
  // Nothing waits to be sent or to be taken.
  bool empty() const { return queue_.empty() && untaken_.empty(); }
  void on_empty(std::function<void()> call) { on_empty_ = std::move(call); }
  // Keeps in `counter`, which outlives it, how many wait to be sent: those end with the process.
  void count_unsent_in(telemetry::Counter& counter) { unsent_ = &counter; }
  // Gives up; the number of connections that could not be sent, to be closed: the deadline has
  // come.
  std::size_t cut();

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  void pump();
  void retry_soon();
  void wait_for_word();
  bool read_words();
  void give_back();
  void count_unsent();

  Descriptor socket_;
  boost::asio::steady_timer retry_;
  std::deque<Handed> queue_;    // to be sent
  std::deque<Handed> untaken_;  // sent, oldest first
  std::function<void(std::deque<Handed>)> lost_;
  std::function<void()> on_empty_;
  telemetry::Counter* unsent_ = nullptr;
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
  void say_taken();

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  boost::asio::steady_timer retry_;
  std::uint32_t unsaid_ = 0;  // taken, and the predecessor does not know it yet
  bool starved_ = false;
  std::function<void(Handed)> received_;
  std::function<void()> ended_;
  std::shared_ptr<const bool> alive_ =
      std::make_shared<const bool>(true);  // for handlers still queued
};

}  // namespace appserver::worker
