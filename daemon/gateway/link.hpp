// One end of the connection between a gateway worker and a business worker: hello, then whole
// messages in both directions.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/link_message.hpp"
#include "gateway/link_socket.hpp"

namespace appserver::gateway {

// All members on the loop's thread. Lives until it has ended, whoever else holds it.
class Link final : public std::enable_shared_from_this<Link> {
 public:
  // That wait for the peer before is_full; half of it is left when `drained` is called.
  static constexpr std::size_t kFull = std::size_t{8} << 20;
  // For the peer's hello.
  static constexpr std::chrono::seconds kPatience{10};

  // None is called from within a member function of Link but `message` and `batch_end`, from the
  // loop.
  struct Hooks {
    std::function<void(const Hello& peer)> open;
    // Valid until it returns. False: it is malformed, and the link ends.
    std::function<bool(std::string_view message)> message;
    // Behind the last message of those that came at once.
    std::function<void()> batch_end;
    std::function<void()> drained;
    // Once, and last; not after close().
    std::function<void(const std::string& why)> ended;
  };

  // While reading is paused, as so many times the timeout of watch_peer().
  static constexpr int kPausedPatience = 4;

  Link(boost::asio::io_context& context, LinkSocket socket);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void start(const Hello& own, Hooks hooks);
  // The link ends where nothing is heard of the peer for so long, which is asked for a word in
  // time. Without this call it ends with the socket alone.
  void watch_peer(std::chrono::milliseconds timeout);

  // Whole frames may be appended here, before the link has ended; then flush().
  std::string& out() { return out_; }
  // Sends what was appended, together with what the rest of this turn appends.
  void flush();
  bool is_full() const { return out_.size() + sending_.size() >= kFull; }
  std::size_t unsent() const { return out_.size() + sending_.size(); }

  // No message comes until resume().
  void pause() { paused_ = true; }
  void resume();

  // Behind what was appended, once the peer has ended too, at the latest after kPatience. No hook
  // is called any more.
  void close();

 private:
  void read();
  void take_received();
  bool take(std::string_view message);
  bool take_hello(std::string_view message);
  void look_at_peer();
  void send();
  void sent(const std::string& why);
  void was_read(const std::string& why, std::size_t before, std::size_t size);
  void stop_sending(const std::string& why);
  void end(const std::string& why);
  void destroy();

  LinkSocket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer watch_;
  std::chrono::milliseconds timeout_{0};
  std::chrono::steady_clock::time_point heard_{};
  Hooks hooks_;
  std::string received_;
  std::string out_;
  std::string sending_;
  bool open_ = false;  // the peer has said hello
  bool flushing_ = false;
  bool reading_ = false;
  bool paused_ = false;
  bool was_full_ = false;
  bool broken_ = false;  // nothing can be sent any more
  bool closing_ = false;
  bool ended_ = false;
};

}  // namespace appserver::gateway
