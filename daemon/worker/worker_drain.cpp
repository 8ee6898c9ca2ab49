// The end of a Worker: its connections go to the successor, or are ended politely.
#include <boost/asio/post.hpp>
#include <deque>
#include <iterator>
#include <string>
#include <utility>

#include "worker/worker.hpp"

namespace appserver::worker {

using boost::system::error_code;
using channel::Kind;
using channel::Message;

void Worker::adopt(os::Fd predecessor) {
  receivers_.emplace_back();
  const auto place = std::prev(receivers_.end());
  *place = std::make_unique<HandoverReceiver>(
      context_, std::move(predecessor),
      [this](Handed handed) {
        page_.adopted.add();
        go_on_with(std::move(handed));
      },
      [this, place] {
        receivers_.erase(place);
        if (draining_) check_drained();
      });
}

void Worker::drain(milliseconds timeout, os::Fd successor) {
  const bool again = std::exchange(draining_, true);
  deadline_.expires_after(timeout);
  deadline_.async_wait([this](const error_code& error) {
    if (!error) deadline_reached();
  });
  if (!again && successor) {
    stop_accepting_all(false);
    drain_to(std::move(successor));
  } else if (!again) {
    stop_accepting_all(serving_);
    gate_.drain_politely();
    server_.drain_politely();
    streams_.drain_politely();
  }
  // Last, so that what it ends can move to the successor.
  if (!again) leave_gateway();
  if (!again) host_.gateway().drain();
  if (!again) host_.lifecycle().drain();
  check_drained();
}

void Worker::drain_to(os::Fd successor) {
  sender_ = std::make_unique<HandoverSender>(
      context_, std::move(successor), [this](std::deque<Handed> left) {
        log_.write(config::LogLevel::warning,
                   "the successor is gone; draining without handing over");
        gate_.drain_politely();
        server_.drain_politely();
        streams_.drain_politely();
        for (Handed& handed : left) go_on_with(std::move(handed));
      });
  sender_->count_unsent_in(page_.unsent);
  sender_->on_empty([this] { check_drained(); });
  gate_.hand_over([this](Handed handed) { sender_->send(std::move(handed)); });
  server_.hand_over([this](Handed handed) { sender_->send(std::move(handed)); });
  streams_.hand_over([this](Handed handed) { sender_->send(std::move(handed)); });
}

void Worker::deadline_reached() {
  receivers_.clear();
  if (sender_) cut_ += sender_->cut();
  gate_.cut();
  cut_ += server_.cut();
  cut_ += streams_.cut();
  cut_off_ = true;
  check_drained();
}

// Posted: the last connection may have ended in the middle of its own turn.
void Worker::check_drained() {
  if (std::exchange(check_posted_, true)) return;
  boost::asio::post(context_, [this] {
    check_posted_ = false;
    const bool sent = !sender_ || sender_->empty();
    const bool answered = datagrams_.held() == 0 || cut_off_;
    const bool given =
        cut_off_ || (host_.gateway().is_drained() && (!gateway_ || gateway_->is_done()));
    const bool served = connections() == 0 && sent && answered && given && receivers_.empty();
    if (served && !finished_ && outbound_is_closed()) finish();
  });
}

// They do not keep a worker alive, but have a moment to be closed as their protocol has it.
bool Worker::outbound_is_closed() {
  host_.connects().close();
  if (streams_.outbound() == 0 || cut_off_ || said_farewell_) return true;
  if (std::exchange(says_farewell_, true)) return false;
  farewell_.expires_after(net::StreamServer::kLinger);
  farewell_.async_wait([this](const error_code& error) {
    if (error) return;
    // What a client has sent through a tunnel is to arrive: limits.send_timeout and the drain's
    // deadline bound it.
    const bool unsent = streams_.outbound_have_unsent();
    said_farewell_ = !unsent;
    says_farewell_ = !unsent;
    check_drained();
  });
  return false;
}

void Worker::finish() {
  finished_ = true;
  sender_.reset();
  gate_.tell_rest();
  complaints_.tell_rest();
  say(Kind::drained, cut_, std::to_string(page_.handed_over.get()));
  if (leaves_state_) send_state(0);
  host_.stop();
  say(Kind::stopped);
  context_.stop();
}

// Not sent where the channel is full: whoever asked does not wait for long.
void Worker::send_state(std::uint64_t number) {
  const LifecycleHost::Saved saved = host_.lifecycle().save();
  Message message;
  message.kind = Kind::state;
  message.number = number;
  message.text = saved.failure;
  std::vector<int> files;
  if (saved.file) files.push_back(saved.file.get());
  channel::send(channel_.native_handle(), message, files);
}

void Worker::watch_termination() {
  terminated_.async_wait(terminated_.wait_read, [this](const error_code& error) {
    if (error) return;
    // The supervisor did not ask for this end, and starts another worker.
    leaves_state_ = leaves_state_ || (!draining_ && host_.lifecycle().saves_state());
    drain(drain_timeout(), {});
  });
}

}  // namespace appserver::worker
