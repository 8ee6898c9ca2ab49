#include "gateway/link.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace appserver::gateway {
namespace {

using boost::system::error_code;

constexpr std::size_t kReadSize = std::size_t{128} << 10;

int family_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0
             ? address.ss_family
             : AF_UNSPEC;
}

}  // namespace

Link::Link(boost::asio::io_context& context, os::Fd socket)
    : socket_(context.get_executor(),
              boost::asio::generic::stream_protocol(family_of(socket.get()), 0), socket.get()),
      deadline_(context) {
  socket.release();
}

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
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
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
    error_code error;
    socket_.shutdown(Socket::shutdown_send, error);
    if (error) destroy();
    return;
  }
  sending_.swap(out_);
  boost::asio::async_write(
      socket_, boost::asio::buffer(sending_),
      [self = shared_from_this()](const error_code& error, std::size_t) { self->sent(error); });
}

void Link::sent(const error_code& error) {
  if (ended_) return;
  if (error) return stop_sending(error.message());
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
  if (!std::exchange(paused_, false) || reading_) return;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (!self->ended_ && !self->closing_ && !self->paused_ && !self->reading_) {
      self->take_received();
    }
  });
}

void Link::read() {
  if (std::exchange(reading_, true)) return;
  const std::size_t before = received_.size();
  received_.resize(before + kReadSize);
  socket_.async_read_some(
      boost::asio::buffer(received_.data() + before, kReadSize),
      [self = shared_from_this(), before](const error_code& error, std::size_t size) {
        self->reading_ = false;
        self->received_.resize(before + size);
        if (self->ended_) return;
        if (self->closing_) {
          self->received_.clear();
          return error ? self->destroy() : self->read();
        }
        if (error) {
          return self->end(error == boost::asio::error::eof ? "its peer has ended"
                                                            : error.message());
        }
        self->take_received();
      });
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
  error_code ignored;  // nothing was left to lose
  socket_.close(ignored);
}

}  // namespace appserver::gateway
