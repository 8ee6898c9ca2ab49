#include "net/proxy_gate.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "net/connection.hpp"
#include "net/peer_name.hpp"
#include "net/proxy_protocol.hpp"

namespace appserver::net {

using proxy_protocol::Header;

// Owned by ProxyGate, which keeps it while a wait of it is outstanding.
class ProxiedConnection final : public Connection {
 public:
  ProxiedConnection(ProxyGate& gate, std::uint32_t index, Handed begun,
                    ProxyGate::Listener listener)
      : Connection(gate.context_, std::move(begun.connection), nullptr),
        gate_(gate),
        listener_(std::move(listener)),
        header_(std::move(begun.received)),
        index_(index) {}

  void begin() {
    if (gate_.sink_) {
      move_to_successor();
    } else {
      wait_for_input();
      gate_.wheel_.set(*this, gate_.polite_drain_ ? ProxyGate::kLinger : gate_.timeout_);
    }
    settle();
  }

  void move_to_successor() {
    Handed moved;
    moved.kind = Handed::Kind::begun;
    moved.received = std::move(header_);
    moved.listener = listener_->text;
    gate_.wheel_.clear(*this);
    moved.connection = release_socket();
    gate_.page_.handed_over.add();
    // A copy: the call may end the handover and the sink with it.
    const ProxyGate::Sink sink = gate_.sink_;
    sink(std::move(moved));
    gate_.connection_ended();
  }

  void end_politely() { gate_.wheel_.set(*this, ProxyGate::kLinger); }

  void close() {
    if (is_closed()) return;
    gate_.wheel_.clear(*this);
    close_socket();
    gate_.connection_ended();
  }

  void settle() override {
    if (may_be_removed()) gate_.table_.remove(index_);
  }

 private:
  void on_readable() override {
    const std::span<char> room =
        std::span(gate_.scratch_).first(proxy_protocol::kLongest - header_.size());
    const ssize_t seen = look_ahead(room);
    if (seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      wait_for_input();
    } else if (seen > 0) {
      take(room.first(static_cast<std::size_t>(seen)));
    } else if (seen == 0 && !header_.empty()) {
      refuse("it has ended within its PROXY header");
    } else {
      // Gone without a byte, as those are that only look whether somebody listens.
      close();
    }
  }

  void on_writable() override {}

  void on_timeout() override {
    // What came in this very moment is looked at.
    if (has_unread_input()) on_readable();
    if (is_closed()) {
      // It has passed, or was refused.
    } else if (gate_.polite_drain_ && header_.empty()) {
      close();
    } else {
      refuse("its PROXY header did not come within limits.header_timeout");
    }
    settle();
  }

  // `seen`: what waits in the kernel, as far as it may belong to the header.
  void take(std::span<char> seen) {
    const std::size_t before = header_.size();
    header_.append(seen.data(), seen.size());
    Header header = proxy_protocol::read_header(header_);
    if (header.kind == Header::Kind::malformed) {
      refuse(header.why);
      return;
    }
    if (header.kind == Header::Kind::whole) header_.resize(header.size);
    const std::size_t ours = header_.size() - before;
    if (discard(seen.first(ours)) != static_cast<ssize_t>(ours)) {
      close();
    } else if (header.kind == Header::Kind::whole) {
      pass(std::move(header.ends));
    } else {
      wait_for_input();
    }
  }

  void pass(std::optional<Ends> ends) {
    gate_.wheel_.clear(*this);
    Handed fresh;
    fresh.connection = release_socket();
    if (ends) fresh.ends = std::move(*ends);
    gate_.hooks_.passed(std::move(fresh), listener_);
    gate_.connection_ended();
  }

  void refuse(std::string_view why) {
    gate_.refuse(remote(), *listener_, why);
    close();
  }

  ProxyGate& gate_;
  ProxyGate::Listener listener_;
  std::string header_;  // what has come of it
  std::uint32_t index_;
};

ProxyGate::ProxyGate(boost::asio::io_context& context, std::vector<os::AddressRange> trusted,
                     milliseconds timeout, telemetry::WorkerPage& page, Hooks hooks)
    : context_(context),
      trusted_(std::move(trusted)),
      timeout_(timeout),
      page_(page),
      hooks_(std::move(hooks)),
      scratch_(proxy_protocol::kLongest),
      table_(context),
      complaints_(hooks_.complain) {}

ProxyGate::~ProxyGate() = default;

void ProxyGate::accept(os::Fd connection, Listener listener) {
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  // It has gone again.
  if (::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&peer), &length) < 0) return;
  const auto trusts = [&peer](const os::AddressRange& range) { return range.contains(peer); };
  if (std::ranges::none_of(trusted_, trusts)) {
    refuse(name_of(peer), *listener, "its peer is none of proxy_protocol_from");
    return;
  }
  Handed begun;
  begun.connection = std::move(connection);
  add(std::move(begun), std::move(listener));
}

void ProxyGate::go_on(Handed begun, Listener listener) {
  const bool good = begun.received.size() < proxy_protocol::kLongest &&
                    proxy_protocol::read_header(begun.received).kind == Header::Kind::incomplete;
  if (good) {
    add(std::move(begun), std::move(listener));
  } else {
    refuse(peer_name(begun.connection.get()), *listener, "its header is none");
  }
}

void ProxyGate::add(Handed begun, Listener listener) {
  // The socket closes with `begun`: limits.max_connections is far below this bound.
  if (table_.is_full()) return;
  ProxiedConnection& made = table_.add([&](std::uint32_t index) {
    return std::make_unique<ProxiedConnection>(*this, index, std::move(begun), std::move(listener));
  });
  page_.connections.add();
  made.begin();
}

void ProxyGate::refuse(std::string_view peer, const StreamListener& listener,
                       std::string_view why) {
  page_.refused.add();
  complaints_.add(
      fmt::format("a connection from {} to {} is closed: {}", peer, listener.text, why));
}

void ProxyGate::connection_ended() {
  table_.ended();
  page_.connections.subtract();
  hooks_.fewer();
}

void ProxyGate::hand_over(Sink sink) {
  sink_ = std::move(sink);
  table_.each([this](ProxiedConnection& connection) {
    // A sink that finds the successor gone turns this into a polite drain, and gives back what it
    // was given.
    if (!sink_) return;
    connection.move_to_successor();
    connection.settle();
  });
}

void ProxyGate::drain_politely() {
  polite_drain_ = true;
  sink_ = nullptr;
  table_.each([](ProxiedConnection& connection) { connection.end_politely(); });
}

void ProxyGate::cut() {
  table_.each([](ProxiedConnection& connection) {
    connection.close();
    connection.settle();
  });
}

}  // namespace appserver::net
