// What all connections of a worker share: a socket whose readiness is waited for, and the bytes
// that the kernel would not take yet.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/ends.hpp"
#include "net/timer_wheel.hpp"
#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::net {

// Waits for readiness and reads by itself, into a buffer of the worker's, so that an idle
// connection holds none and has no byte outside the kernel: that is what makes handing it over free
// of races. Under TLS, whose state cannot be handed over, it may hold some. Must not be destroyed
// while may_be_removed() is false: handlers will still run.
class Connection : protected TimerWheel::Entry {
 public:
  bool is_closed() const { return closed_; }
  bool is_scheduled() const { return scheduled_; }
  void set_scheduled(bool scheduled) { scheduled_ = scheduled; }
  bool may_be_removed() const { return closed_ && outstanding_ == 0 && !scheduled_; }
  std::size_t pending_output() const { return output_.size() - output_sent_; }

 protected:
  // `tls`: of this socket; null: bytes go as they are. `ends`: as a proxy has told them; empty:
  // those of the socket.
  Connection(boost::asio::io_context& context, os::Fd socket, std::unique_ptr<tls::Session> tls,
             Ends ends = {});

  virtual void on_readable() = 0;
  virtual void on_writable() = 0;
  // What wait_for_loss() has waited for.
  virtual void on_lost() {}
  // The last thing that a handler does: the connection may go now.
  virtual void settle() = 0;

  void wait_for_input();
  void wait_for_output();
  // Of one that has ended its input, and that nothing is sent to meanwhile: that it goes for good.
  // The peer's kernel is asked every now and then, since a socket that was closed on both sides
  // looks like one that still reads until something is sent.
  void wait_for_loss();
  // The kernel would take nothing when it was last tried.
  bool awaits_output() const { return writing_; }

  // Bytes may go: without TLS from the start.
  bool is_secured() const { return !tls_ || tls_->is_established(); }
  // Goes on with TLS's handshake, to be called in on_readable() until `done`; where it wants more,
  // that is waited for.
  tls::Outcome shake_hands();

  // To be called with the first bytes of a client's connection; under TLS before its handshake, and
  // without any: they are looked at in the kernel.
  void look_at_beginning(std::string_view first);
  void look_at_beginning_of_tls();
  // They look like a PROXY header, which nobody has asked for here.
  bool began_with_proxy_header() const { return began_with_proxy_header_; }

  // As recv(2), over interruptions; -1 with EAGAIN where nothing has come. A failure of TLS is
  // EPROTO, and input_error() says more.
  ssize_t receive(std::span<char> into);
  // The same of bytes that nobody will look at, behind shut_down_sending().
  ssize_t discard(std::span<char> into);
  // As recv(2) with MSG_PEEK, past TLS: what is seen stays in the kernel.
  ssize_t look_ahead(std::span<char> into);
  std::string input_error(int error) const;
  bool has_unread_input();
  // Without taking anything that has come. `ended`: the peer sends no more, or the connection is
  // broken; also behind bytes that nobody has read.
  enum class Peer { silent, has_sent, ended };
  Peer look_at_peer();
  // No more is sent: the peer reads an end behind what was sent before. Of TLS nothing is read any
  // more, either.
  void shut_down_sending();
  // The same, but what the peer still sends is read, also under TLS.
  void end_output();

  // Bytes for the kernel, behind those that wait.
  std::string& output() { return output_; }
  std::string take_output();
  // Sends what waits and then `more`; what the kernel does not take waits. False: the peer is gone.
  bool flush(std::string_view more);

  std::string_view remote();
  std::string_view local();
  // To go with the socket to who serves it next: empty where the socket itself says them.
  Ends told_ends() const { return told_ ? ends_ : Ends{}; }
  int descriptor() { return socket_.native_handle(); }
  // Null without TLS.
  tls::Session* tls() const { return tls_.get(); }
  std::unique_ptr<tls::Session> take_tls() { return std::move(tls_); }

  // Both end it for us: no wait of it calls on_readable() or on_writable() any more.
  enum class Goodbye { said, unsaid };  // of TLS: whether the peer is to see a regular end
  void close_socket(Goodbye goodbye = Goodbye::said);
  // Out of epoll before anybody else can have the descriptor.
  os::Fd release_socket();

  // The wheel holds the limit of a peer that takes nothing; ended by flush() when it takes some.
  bool timing_output_ = false;
  std::uint64_t sent_ = 0;  // bytes that the kernel took

 private:
  bool send_some(std::string_view data, std::size_t& sent);
  bool send_some_by_tls(std::string_view data, std::size_t& sent);
  ssize_t receive_by_tls(std::span<char> into);
  bool peek();

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> socket_;
  std::unique_ptr<tls::Session> tls_;
  std::string output_;
  std::size_t output_sent_ = 0;
  Ends ends_;                      // those of the socket once somebody has asked
  std::uint32_t outstanding_ = 0;  // handlers that will still run
  bool reading_ = false;
  bool writing_ = false;
  bool awaiting_loss_ = false;
  bool scheduled_ = false;
  bool closed_ = false;
  bool begun_ = false;
  bool began_with_proxy_header_ = false;
  bool told_;
};

}  // namespace appserver::net
