// An outbound connection for coroutines: TCP or a unix socket, with TLS where it is asked for.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/client/target.hpp"
#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::net::client {

using Executor = boost::asio::io_context::executor_type;
template <class T = void>
using Work = boost::asio::awaitable<T, Executor>;
using Clock = std::chrono::steady_clock;
using Endpoint = boost::asio::generic::stream_protocol::endpoint;

// Loop thread only; must stay until its coroutines are through, which close() brings about.
class Transport final {
 public:
  explicit Transport(boost::asio::io_context& context);
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport() { close(); }

  // The addresses of a target, at least one. Literal ones at once, names by the system's resolver
  // on a thread that all share: one look-up after the other. Throws CallError.
  Work<std::vector<Endpoint>> resolve(const Target& target);

  // To the first of the addresses that takes it; each has a share of the time until `deadline`.
  // Throws CallError that names what each said.
  Work<> connect(std::vector<Endpoint> addresses, Clock::time_point deadline);
  // Throws CallError where the certificate is not good, or not for `host`.
  Work<> secure(std::shared_ptr<const tls::ClientContext> context, std::string host);

  // 0: the regular end. However much has come, the loop's others have their turn between two reads.
  // Throws CallError.
  Work<std::size_t> read_some(std::span<char> into);
  // All of it. Throws CallError. Others may read meanwhile; `reader_first`: what has come is read
  // before more is written, since a write that fails may take it along.
  enum class Turns { any, reader_first };
  Work<> write(std::string_view data, Turns turns = Turns::any);

  // Nothing has come, and the peer has not ended it: fit for the next request.
  bool is_quiet();
  // Calls it when something comes or the peer ends it; not after stop_watching() or close().
  void watch(std::function<void()> changed);
  void stop_watching();

  // Ends what waits.
  void close();
  // The same by a reset: what a peer has not read is not kept for it.
  void abandon();
  // The connected socket, non-blocking, and the TLS on it, null without; for use elsewhere.
  struct Released {
    os::Fd socket;
    std::unique_ptr<tls::Session> tls;
  };
  Released release();

 private:
  Work<std::string> try_address(const Endpoint& address, Clock::duration share);
  Work<> wait(bool for_input);
  Work<> yield() const;
  bool has_come();
  void wait_for_change(std::shared_ptr<bool> watching, std::function<void()> changed);

  boost::asio::io_context& context_;
  boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor> socket_;
  boost::asio::ip::basic_resolver<boost::asio::ip::tcp, Executor> resolver_;
  std::unique_ptr<tls::Session> tls_;
  std::shared_ptr<bool> watching_;  // of the watch that goes on
  bool has_read_ = false;           // in the turn at hand, or an earlier one
  bool closed_ = false;
};

}  // namespace appserver::net::client
