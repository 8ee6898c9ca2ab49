#include "os/fd.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string_view>

#include "os/error.hpp"

namespace appserver::os {

void Fd::reset(int fd) {
  // close(2) must not be retried: on Linux the descriptor is gone even after EINTR.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Fd Fd::duplicate() const {
  return Fd(check(::fcntl(fd_, F_DUPFD_CLOEXEC, 3), "fcntl({}, F_DUPFD_CLOEXEC)", fd_));
}

Fd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  const int fd = retry_on_interrupt([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  return Fd(check(fd, "open(\"{}\")", path.native()));
}

void set_nonblocking(int fd) {
  const int flags = check(::fcntl(fd, F_GETFL), "fcntl({}, F_GETFL)", fd);
  check(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl({}, F_SETFL)", fd);
}

std::optional<Fd> try_lock_file(const std::filesystem::path& path) {
  Fd file = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
  const int result = retry_on_interrupt([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); });
  if (result < 0 && errno == EWOULDBLOCK) return std::nullopt;
  check(result, "flock(\"{}\")", path.native());
  return file;
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  // O_NONBLOCK: a FIFO in place of a file must not hang the caller.
  const Fd file = open_file(path, O_RDONLY | O_NONBLOCK);
  std::string content;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto got =
        retry_on_interrupt([&] { return ::read(file.get(), buffer.data(), buffer.size()); });
    check(got, "read(\"{}\")", path.native());
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(got));
    if (content.size() > limit) {
      throw std::length_error(fmt::format("{}: larger than {} bytes", path.native(), limit));
    }
  }
}

void write_all(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const auto put = retry_on_interrupt([&] { return ::write(fd, data.data(), data.size()); });
    check(put, "write({} bytes to fd {})", data.size(), fd);
    data = data.subspan(static_cast<std::size_t>(put));
  }
}

void write_all(int fd, std::string_view data) { write_all(fd, std::as_bytes(std::span(data))); }

}  // namespace appserver::os
