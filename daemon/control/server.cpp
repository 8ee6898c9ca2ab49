#include "control/server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <optional>
#include <set>

#include "control/session.hpp"
#include "control/socket_file.hpp"
#include "os/fd.hpp"

namespace appserver::control {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);

// A descriptor kept for the day there are none left: the daemon can then still be asked what is
// wrong.
os::Fd reserve_descriptor() { return os::Fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)); }

bool out_of_descriptors(beast::error_code error) {
  return error == asio::error::no_descriptors || error.value() == ENFILE ||
         error.value() == ENOMEM || error.value() == ENOBUFS;
}

}  // namespace

// Accepts, and owns the open sessions. Shared with its own pending operation only, so that the
// Server can go first.
class Server::Listener final : public std::enable_shared_from_this<Listener> {
 public:
  using Acceptor =
      asio::basic_socket_acceptor<asio::local::stream_protocol, asio::io_context::executor_type>;

  Listener(asio::io_context& context, ServerOptions options, Commands& commands)
      : options_(std::move(options)),
        commands_(commands),
        file_(std::in_place, options_.socket),
        acceptor_(context.get_executor()),
        pause_(context.get_executor()) {
    acceptor_.assign(asio::local::stream_protocol(), file_->take().release());
    reserve_ = reserve_descriptor();
  }

  void accept() {
    acceptor_.async_accept(
        [self = shared_from_this()](beast::error_code error, ControlSocket socket) {
          if (!self->acceptor_.is_open()) return;
          if (error) return self->recover(error);
          self->open(std::move(socket));
          self->accept();
        });
  }

  void close_all() {
    beast::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    // Not left to the destructor: the aborted operations may keep this object a while longer than
    // the lock should live.
    file_.reset();
    // Each close() takes itself out of the set.
    while (!sessions_.empty()) std::shared_ptr(*sessions_.begin())->close();
  }

  std::size_t connections() const { return sessions_.size(); }

 private:
  void recover(beast::error_code error) {
    if (out_of_descriptors(error) && reserve_) {
      reserve_.reset();
      return accept();
    }
    // Nothing can be done but wait; a loop without a pause would only burn the processor.
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([self = shared_from_this()](beast::error_code stopped) {
      if (stopped || !self->acceptor_.is_open()) return;
      if (!self->reserve_) self->reserve_ = reserve_descriptor();
      self->accept();
    });
  }

  void open(ControlSocket socket) {
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    Peer peer;
    try {
      const Credentials found = options_.credentials(socket.native_handle());
      peer = {found.uid, found.gid, found.pid, found.uid == 0 || found.uid == ::geteuid()};
    } catch (const std::exception&) {
      return;  // it has gone already, and who cannot be named is not served
    }
    if (is_full(peer)) return turn_away(socket);
    const auto session = std::make_shared<Session>(
        std::move(socket), options_, peer, commands_,
        [self = shared_from_this()](Session& closed) { self->forget(closed); });
    sessions_.insert(session);
    session->start();
  }

  // Readers who fill the server must not keep out the one who wants to stop or reload it.
  bool is_full(const Peer& peer) const {
    if (sessions_.size() >= options_.max_connections) return true;
    const auto readers = std::count_if(sessions_.begin(), sessions_.end(),
                                       [](const auto& each) { return !each->peer().may_operate; });
    return !peer.may_operate &&
           static_cast<std::size_t>(readers) + options_.for_operators >= options_.max_connections;
  }

  void forget(Session& session) {
    sessions_.erase(session.shared_from_this());
    if (!reserve_) reserve_ = reserve_descriptor();
  }

  // One write into an empty socket buffer; whoever connects in masses gets no more of our time than
  // that.
  static void turn_away(ControlSocket& socket) {
    static constexpr std::string_view kBody =
        "{\"error\":\"too many control connections\",\"hint\":\"try again in a moment\"}\n";
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nServer: appserverd\r\nContent-Type: "
        "application/json\r\n"
        "Retry-After: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        kBody.size(), kBody);
    // The connection closes next, sent or not.
    [[maybe_unused]] const ::ssize_t sent =
        ::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  ServerOptions options_;
  Commands& commands_;
  std::optional<SocketFile> file_;
  Acceptor acceptor_;
  ControlTimer pause_;
  os::Fd reserve_;
  std::set<std::shared_ptr<Session>> sessions_;
};

Server::Server(asio::io_context& context, ServerOptions options, Commands& commands)
    : listener_(std::make_shared<Listener>(context, std::move(options), commands)) {
  listener_->accept();
}

Server::~Server() { listener_->close_all(); }

std::size_t Server::connections() const { return listener_->connections(); }

}  // namespace appserver::control
