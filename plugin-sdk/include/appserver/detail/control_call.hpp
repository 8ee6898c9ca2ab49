// One request to a running daemon, by its control socket: unix(7), HTTP/1.1.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace appserver::detail {

struct ControlAnswer {
  unsigned status = 0;
  std::string body;
};

// Blocks, for `timeout` at most. Throws std::runtime_error where no daemon answers.
class ControlCall {
 public:
  ControlCall(const std::string& socket, std::chrono::milliseconds timeout)
      : path_(socket), deadline_(Clock::now() + timeout) {
    ::sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof(address.sun_path))
      throw std::runtime_error("a control socket's path has 1 to 107 bytes: " + path_);
    std::memcpy(address.sun_path, path_.data(), path_.size());
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket()");
    // A full queue of the daemon's holds up connect(2), which no poll(2) would tell of.
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count();
    ::timeval patience{};
    patience.tv_sec = static_cast<decltype(patience.tv_sec)>(left / 1'000'000);
    patience.tv_usec = static_cast<decltype(patience.tv_usec)>(left % 1'000'000);
    const void* const place = &address;
    if (::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        ::connect(fd_, static_cast<const ::sockaddr*>(place), sizeof(address)) != 0) {
      const int error = errno;
      ::close(fd_);
      errno = error;
      fail("no daemon");
    }
  }
  ~ControlCall() { ::close(fd_); }
  ControlCall(const ControlCall&) = delete;
  ControlCall& operator=(const ControlCall&) = delete;

  ControlAnswer post(std::string_view target, const std::string& body) {
    send("POST " + std::string(target) +
         " HTTP/1.1\r\nHost: appserverd\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body);
    return receive();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxAnswer = std::size_t{64} << 20;

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(path_ + ": " + what + ": " + std::generic_category().message(errno));
  }

  void wait(short events) const {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    ::pollfd ready{fd_, events, 0};
    const int count = left <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left));
    if (count == 0) throw std::runtime_error(path_ + ": no answer in time");
    if (count < 0 && errno != EINTR) fail("poll()");
  }

  // A daemon that refuses early has answered before it has read all: that says more than our error.
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        wait(POLLOUT);
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  // The daemon closes behind its answer.
  ControlAnswer receive() const {
    std::string all;
    std::array<char, 65536> part;
    for (;;) {
      const auto got = ::recv(fd_, part.data(), part.size(), MSG_DONTWAIT);
      if (got == 0) break;
      if (got > 0) {
        all.append(part.data(), static_cast<std::size_t>(got));
        if (all.size() > kMaxAnswer) throw std::runtime_error(path_ + ": an endless answer");
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        wait(POLLIN);
      } else if (errno == ECONNRESET) {
        break;
      } else if (errno != EINTR) {
        fail("recv()");
      }
    }
    return parse(all);
  }

  ControlAnswer parse(std::string_view all) const {
    constexpr std::string_view kBegin = "HTTP/1.1 ";
    constexpr std::string_view kLength = "\r\nContent-Length: ";
    const std::size_t end = all.find("\r\n\r\n");
    ControlAnswer answer;
    if (end == std::string_view::npos || !all.starts_with(kBegin))
      throw std::runtime_error(path_ + ": no answer; is this the socket of an appserverd?");
    const std::string_view head = all.substr(0, end + 2);
    const std::size_t at = head.find(kLength);
    const std::size_t length =
        at == std::string_view::npos ? 0 : number(head.substr(at + kLength.size()));
    answer.status = static_cast<unsigned>(number(head.substr(kBegin.size())));
    answer.body = all.substr(end + 4);
    if (answer.body.size() != length) throw std::runtime_error(path_ + ": the answer broke off");
    return answer;
  }

  static std::size_t number(std::string_view digits) {
    std::size_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }

  std::string path_;
  Clock::time_point deadline_;
  int fd_ = -1;
};

}  // namespace appserver::detail
