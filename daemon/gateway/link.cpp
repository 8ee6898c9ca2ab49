#include "gateway/link.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <span>
#include <utility>

namespace appserver::gateway {
namespace {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadSize = std::size_t{128} << 10;

}  // namespace

Link::Link(boost::asio::io_context& context, LinkSocket socket)
    : socket_(std::move(socket)), deadline_(context), watch_(context) {}

void Link::start(const Hello& own, Hooks hooks) {
  hooks_ = std::move(hooks);
  append_hello(out_, own);
  flush();
  deadline_.expires_after(kPatience);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && !self->open_) self->end("its peer did not say hello in time");
  });
  read();
}

void Link::flush() {
  if (std::exchange(flushing_, true)) return;
  boost::asio::post(socket_.executor(), [self = shared_from_this()] {
    self->flushing_ = false;
    self->send();
  });
}

void Link::send() {
  if (ended_) return;
  if (closing_ && !reading_)
    read();  // what the peer still says is dropped, or it would see a reset
  if (broken_) out_.clear();
  if (!sending_.empty()) return;
  if (out_.empty()) {
    if (!closing_) return;
    if (!socket_.end_output()) destroy();
    return;
  }
  sending_.swap(out_);
  socket_.write(sending_, shared_from_this(), [this](const std::string& why) { sent(why); });
}

void Link::sent(const std::string& why) {
  if (ended_) return;
  if (!why.empty()) return stop_sending(why);
  // Until here what waits has only grown.
  was_full_ = was_full_ || is_full();
  sending_.clear();
  if (sending_.capacity() > kFull) sending_.shrink_to_fit();
  send();
  if (unsent() < kFull / 2 && !closing_ && !ended_ && std::exchange(was_full_, false))
    hooks_.drained();
}

// What the peer has said before it went is still heard: events that it has acknowledged are not to
// be given again.
void Link::stop_sending(const std::string& why) {
  if (closing_) return destroy();
  broken_ = true;
  out_.clear();
  sending_.clear();
  deadline_.expires_after(kPatience);
  deadline_.async_wait([self = shared_from_this(), why](const error_code& error) {
    if (!error) self->end(why);
  });
  resume();
}

void Link::resume() {
  heard_ = Clock::now();
  if (!std::exchange(paused_, false) || reading_) return;
  boost::asio::post(socket_.executor(), [self = shared_from_this()] {
    if (!self->ended_ && !self->closing_ && !self->paused_ && !self->reading_) {
      self->take_received();
    }
  });
}

void Link::read() {
  if (std::exchange(reading_, true)) return;
  const std::size_t before = received_.size();
  received_.resize(before + kReadSize);
  socket_.read_some(
      std::span(received_.data() + before, kReadSize), shared_from_this(),
      [this, before](const std::string& why, std::size_t size) { was_read(why, before, size); });
}

void Link::was_read(const std::string& why, std::size_t before, std::size_t size) {
  reading_ = false;
  received_.resize(before + size);
  if (ended_) return;
  if (closing_) {
    received_.clear();
    return why.empty() ? read() : destroy();
  }
  if (!why.empty()) return end(why);
  heard_ = Clock::now();
  take_received();
}

void Link::take_received() {
  std::size_t done = 0;
  bool any = false;
  while (!paused_ && received_.size() - done >= kLengthSize) {
    const std::string_view rest = std::string_view(received_).substr(done);
    const std::size_t length = frame_length(rest);
    if (length > (open_ ? kMaxLinkMessage : kMaxHello))
      return end("its peer sent a message too long");
    if (rest.size() < kLengthSize + length) break;
    if (!take(rest.substr(kLengthSize, length))) return;
    if (ended_ || closing_) return;
    any = true;
    done += kLengthSize + length;
  }
  received_.erase(0, done);
  if (received_.empty() && received_.capacity() > kFull) received_.shrink_to_fit();
  if (any && open_) hooks_.batch_end();
  if (!paused_ && !ended_ && !closing_) read();
}

bool Link::take(std::string_view message) {
  if (!open_) return take_hello(message);
  if (const auto why = read_refused(message)) {
    end(fmt::format("its peer refused it: {}", *why));
    return false;
  }
  const auto kind = kind_of(message);
  if (kind == LinkKind::pong) return true;
  if (kind == LinkKind::ping) {
    append_bare(out_, LinkKind::pong);
    flush();
    return true;
  }
  if (hooks_.message(message)) return true;
  if (!closing_) end("its peer sent a message that is malformed");
  return false;
}

bool Link::take_hello(std::string_view message) {
  if (const auto why = read_refused(message)) {
    end(fmt::format("its peer refused it: {}", *why));
    return false;
  }
  const auto hello = read_hello(message);
  if (!hello) {
    end("its peer said something else than hello");
    return false;
  }
  if (hello->version != kLinkVersion) {
    const std::string why = fmt::format(
        "one end speaks version {} of the link, the other {}: run the same release of "
        "appserverd at both",
        kLinkVersion, hello->version);
    append_refused(out_, why);
    auto ended = std::move(hooks_.ended);
    close();
    ended(why);
    return false;
  }
  open_ = true;
  deadline_.cancel();
  hooks_.open(*hello);
  return true;
}

void Link::watch_peer(std::chrono::milliseconds timeout) {
  timeout_ = timeout;
  heard_ = Clock::now();
  look_at_peer();
}

// A peer that has vanished sends no FIN, and what is sent to it waits for a quarter of an hour.
void Link::look_at_peer() {
  watch_.expires_after(timeout_ / 4);
  watch_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->ended_ || self->closing_) return;
    const auto silence = Clock::now() - self->heard_;
    const auto patience = self->timeout_ * (self->paused_ ? kPausedPatience : 1);
    if (silence >= patience) {
      return self->end(fmt::format("nothing was heard of its peer for {} ms",
                                   std::chrono::milliseconds(patience).count()));
    }
    if (self->open_ && !self->broken_ && silence >= self->timeout_ / 5) {
      append_bare(self->out_, LinkKind::ping);
      self->flush();
    }
    self->look_at_peer();
  });
}

void Link::close() {
  if (ended_ || std::exchange(closing_, true)) return;
  deadline_.expires_after(kPatience);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->destroy();
  });
  flush();
}

void Link::end(const std::string& why) {
  if (ended_) return;
  const bool told = closing_;
  const auto self = shared_from_this();
  destroy();
  if (!told) hooks_.ended(why);
}

void Link::destroy() {
  ended_ = true;
  deadline_.cancel();
  watch_.cancel();
  socket_.close();
}

}  // namespace appserver::gateway
