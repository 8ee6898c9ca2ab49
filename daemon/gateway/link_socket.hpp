// The connected stream socket of a link, with TLS where that was agreed on.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::gateway {

// On the loop's thread. One read and one write at a time. Each call keeps `owner` alive until its
// handler was called, which is never from within the call. `why` is empty where it went well.
class LinkSocket final {
 public:
  using Owner = std::shared_ptr<const void>;
  using OnRead = std::function<void(const std::string& why, std::size_t size)>;
  using OnDone = std::function<void(const std::string& why)>;
  static constexpr const char* kEnded = "its peer has ended";

  // Throws where the loop cannot watch it.
  LinkSocket(boost::asio::io_context& context, os::Fd socket);
  LinkSocket(LinkSocket&&) = default;
  LinkSocket& operator=(LinkSocket&&) = delete;
  LinkSocket(const LinkSocket&) = delete;
  LinkSocket& operator=(const LinkSocket&) = delete;
  ~LinkSocket() { close(); }

  // All that follows is under TLS. Before the first read and write.
  void secure(std::unique_ptr<net::tls::Session> tls, Owner owner, OnDone done);
  int handle() { return socket_.native_handle(); }

  // What has come, at least a byte.
  void read_some(std::span<char> into, Owner owner, OnRead read);
  // All of it; `data` must stay.
  void write(std::string_view data, Owner owner, OnDone written);
  // Nothing more is said; the peer may go on. False: it is broken.
  bool end_output();
  void close();

  boost::asio::io_context::executor_type executor() { return socket_.get_executor(); }

 private:
  using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                  boost::asio::io_context::executor_type>;

  // Calls it when the socket can be read, or else written; at once in a later turn where TLS has
  // something already.
  void wait(net::tls::Outcome outcome, Owner owner, OnDone ready);
  void go_on_securing(const Owner& owner, const OnDone& done);
  void go_on_reading(std::span<char> into, const Owner& owner, const OnRead& read);
  void go_on_writing(std::string_view data, const Owner& owner, const OnDone& written);

  Socket socket_;
  std::unique_ptr<net::tls::Session> tls_;
};

}  // namespace appserver::gateway
