// One end of the connection between a gateway worker and a business worker: hello, then whole
// messages in both directions.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
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
#include "os/fd.hpp"

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

  // Takes a connected stream socket. Throws where the loop cannot watch it.
  Link(boost::asio::io_context& context, os::Fd socket);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void start(const Hello& own, Hooks hooks);

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
  using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                  boost::asio::io_context::executor_type>;

  void read();
  void take_received();
  bool take(std::string_view message);
  bool take_hello(std::string_view message);
  void send();
  void sent(const boost::system::error_code& error);
  void stop_sending(const std::string& why);
  void end(const std::string& why);
  void destroy();

  Socket socket_;
  boost::asio::steady_timer deadline_;
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
