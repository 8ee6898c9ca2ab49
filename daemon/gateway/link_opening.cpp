#include "gateway/link_opening.hpp"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace appserver::gateway {

LinkOpening::LinkOpening(boost::asio::io_context& context, os::Fd socket, Role own,
                         LinkKeysPtr keys)
    : socket_(context, std::move(socket)),
      keys_(std::move(keys)),
      handshake_(own, keys_->secret.text, Handshake::fresh_nonce()),
      deadline_(context) {
  if (own == Role::business) out_ = handshake_.begin();
}

void LinkOpening::start(std::unique_ptr<net::tls::Session> tls, Done done) {
  done_ = std::move(done);
  deadline_.expires_after(kPatience);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self)
      self->finish(fmt::format("it did not prove who it is within {} s", kPatience.count()));
  });
  if (!tls) return shake_hands();
  socket_.secure(std::move(tls), shared_from_this(), [this](const std::string& why) {
    if (over_) return;
    if (!why.empty()) return finish("TLS: " + why);
    shake_hands();
  });
}

void LinkOpening::shake_hands() {
  if (out_.empty()) return read();
  write();
}

// Not a byte more than the handshake takes: what follows is the link's.
void LinkOpening::read() {
  const std::size_t wanted = handshake_.wanted() - received_.size();
  socket_.read_some(std::span(buffer_.data(), wanted), shared_from_this(),
                    [this](const std::string& why, std::size_t size) {
                      if (over_) return;
                      if (!why.empty()) return finish(why);
                      received_.append(buffer_.data(), size);
                      go_on();
                    });
}

void LinkOpening::go_on() {
  handshake_.take(received_, out_);
  if (!out_.empty()) return write();
  if (handshake_.state() == Handshake::State::going) return read();
  finish(handshake_.why());
}

void LinkOpening::write() {
  socket_.write(out_, shared_from_this(), [this](const std::string& why) {
    if (over_) return;
    out_.clear();
    if (handshake_.state() == Handshake::State::going && why.empty()) return read();
    // What the peer has done wrong says more than that it is gone.
    finish(handshake_.state() == Handshake::State::failed ? handshake_.why() : why);
  });
}

void LinkOpening::finish(const std::string& why) {
  if (std::exchange(over_, true)) return;
  const auto self = shared_from_this();
  deadline_.cancel();
  const Done done = std::exchange(done_, {});
  if (!why.empty()) socket_.close();
  done(why.empty() ? &socket_ : nullptr, why);
}

void LinkOpening::abandon() {
  if (std::exchange(over_, true)) return;
  deadline_.cancel();
  done_ = {};
  socket_.close();
}

}  // namespace appserver::gateway
