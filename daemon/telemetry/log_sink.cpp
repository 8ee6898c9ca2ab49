#include "telemetry/log_sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <span>
#include <vector>

#include "os/error.hpp"

namespace appserver::telemetry {
namespace {

// A descriptor of our own for the same output. A pipe is opened anew: O_NONBLOCK belongs to the
// open file, and on the inherited one it would change what the process at the other end of a shared
// stderr sees.
os::Fd own_descriptor(int fd, mode_t type) {
  if (S_ISFIFO(type)) {
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    os::Fd reopened(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    if (reopened) return reopened;
  }
  return os::Fd(os::check(::fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl({}, F_DUPFD_CLOEXEC)", fd));
}

bool send_to_journal(std::string_view fields) {
  std::vector<iovec> parts;
  while (!fields.empty()) {
    const std::string_view field = fields.substr(0, fields.find('\0'));
    parts.push_back({const_cast<char*>(field.data()), field.size()});
    fields.remove_prefix(field.size() + 1);
  }
  return ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) == 0;
}

}  // namespace

LogSink::LogSink(int fd, bool to_journal)
    : abandoned_event_(os::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd()")),
      to_journal_(to_journal) {
  struct stat status {};
  os::check(::fstat(fd, &status), "fstat({})", fd);
  is_socket_ = S_ISSOCK(status.st_mode);
  output_ = own_descriptor(fd, status.st_mode);
}

void LogSink::log(const spdlog::details::log_msg& message) {
  if (preamble_) {
    const std::string first = preamble_();
    if (!first.empty()) put(first);
  }
  if (!put({message.payload.data(), message.payload.size()}))
    failed_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    taken_.fetch_add(1, std::memory_order_release);
  }
  progress_.notify_all();
}

bool LogSink::wait_until(std::chrono::steady_clock::time_point deadline,
                         const std::function<bool()>& done) {
  std::unique_lock lock(mutex_);
  return progress_.wait_until(lock, deadline, done);
}

void LogSink::abandon() {
  abandoned_ = true;
  const std::uint64_t one = 1;
  os::write_all(abandoned_event_.get(), std::as_bytes(std::span(&one, 1)));
}

bool LogSink::put(std::string_view payload) {
  if (abandoned_) return false;
  return to_journal_ ? send_to_journal(payload) : put_to_descriptor(payload);
}

bool LogSink::put_to_descriptor(std::string_view line) {
  while (!line.empty()) {
    // PIPE_BUF: where the pipe could not be opened anew, poll(2) promises room for no more than
    // this.
    const std::size_t size = std::min<std::size_t>(line.size(), PIPE_BUF);
    const auto put = os::retry_on_interrupt([&] {
      return is_socket_ ? ::send(output_.get(), line.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : ::write(output_.get(), line.data(), size);
    });
    if (put >= 0) {
      line.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno != EAGAIN || !wait_writable()) {
      return false;
    }
  }
  return true;
}

bool LogSink::wait_writable() const {
  std::array<pollfd, 2> waits{pollfd{output_.get(), POLLOUT, 0},
                              pollfd{abandoned_event_.get(), POLLIN, 0}};
  const int ready = os::retry_on_interrupt([&] { return ::poll(waits.data(), waits.size(), -1); });
  return ready > 0 && waits[1].revents == 0;
}

}  // namespace appserver::telemetry
