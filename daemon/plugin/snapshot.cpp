#include "plugin/snapshot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <compare>
#include <span>
#include <vector>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"

namespace appserver::plugin {
namespace {

struct Time {
  std::int64_t seconds;
  std::int64_t nanoseconds;
  auto operator<=>(const Time&) const = default;
};

Time make_time(const timespec& time) { return {time.tv_sec, time.tv_nsec}; }

struct Stamp {
  std::uint64_t size;
  Time modified;
  Time changed;
  bool operator==(const Stamp&) const = default;
};

struct stat status_of(int fd) {
  struct stat status {};
  os::check(::fstat(fd, &status), "fstat(fd {})", fd);
  return status;
}

Stamp stamp_of(int fd) {
  const auto status = status_of(fd);
  return {static_cast<std::uint64_t>(status.st_size), make_time(status.st_mtim),
          make_time(status.st_ctim)};
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "something else";
}

os::Fd open_source(const std::filesystem::path& source) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  auto file = os::open_file(source, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  const auto status = status_of(file.get());
  if (!S_ISREG(status.st_mode))
    throw BadPlugin(fmt::format("not a file but {}", kind_of(status.st_mode)));
  if (static_cast<std::uint64_t>(status.st_size) > kMaxPluginSize) {
    throw BadPlugin(fmt::format("too large for a plugin: {} bytes, and {} are the most",
                                status.st_size, kMaxPluginSize));
  }
  return file;
}

// File times come from a clock that ticks each 1 to 10 ms. Once it is past `last_change`, the next
// change leaves a trace. Bounded, for clocks that were set back and for servers with a clock of
// their own.
void wait_until_past(Time last_change) {
  constexpr timespec kMillisecond{0, 1'000'000};
  for (int waits = 0; waits < 20; ++waits) {
    timespec now{};
    os::check(::clock_gettime(CLOCK_REALTIME_COARSE, &now), "clock_gettime(CLOCK_REALTIME_COARSE)");
    if (last_change < make_time(now)) return;
    ::nanosleep(&kMillisecond, nullptr);
  }
}

bool copy_within_kernel(int from, int to, std::uint64_t& left) {
  while (left > 0) {
    const auto done = os::retry_on_interrupt(
        [&] { return ::copy_file_range(from, nullptr, to, nullptr, left, 0); });
    if (done < 0) {
      const bool cannot = errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                          errno == EOPNOTSUPP || errno == EPERM;
      if (cannot) return false;
      os::check(done, "copy_file_range({} bytes)", left);
    }
    // Some file systems say 0 though there is content; read(2) tells the truth.
    if (done == 0) return false;
    left -= static_cast<std::uint64_t>(done);
  }
  return true;
}

void copy_by_reading(int from, int to, std::uint64_t left) {
  std::vector<std::byte> buffer(1 << 17);
  while (left > 0) {
    const auto wanted = std::min<std::uint64_t>(left, buffer.size());
    const auto got = os::retry_on_interrupt([&] { return ::read(from, buffer.data(), wanted); });
    os::check(got, "read({} bytes)", wanted);
    if (got == 0) return;
    os::write_all(to, std::span(buffer).first(static_cast<std::size_t>(got)));
    left -= static_cast<std::uint64_t>(got);
  }
}

bool copied_stable(const std::filesystem::path& source, int target, const CopyContent& copy) {
  os::check(::ftruncate(target, 0), "ftruncate(fd {}, 0)", target);
  os::check(::lseek(target, 0, SEEK_SET), "lseek(fd {}, 0)", target);
  const auto file = open_source(source);
  const auto before = stamp_of(file.get());
  wait_until_past(before.changed);
  copy(file.get(), target, before.size);
  return stamp_of(file.get()) == before && stamp_of(target).size == before.size;
}

}  // namespace

void copy_content(int from, int to, std::uint64_t size) {
  if (::ioctl(to, FICLONE, from) == 0) return;
  auto left = size;
  if (!copy_within_kernel(from, to, left)) copy_by_reading(from, to, left);
}

void take_snapshot(const std::filesystem::path& source, int target, const CopyContent& copy) {
  constexpr int kTries = 3;
  for (int tries = 0; tries < kTries; ++tries) {
    if (copied_stable(source, target, copy)) return;
  }
  throw BadPlugin("the file is still being written; try again once the copy or build is done");
}

}  // namespace appserver::plugin
