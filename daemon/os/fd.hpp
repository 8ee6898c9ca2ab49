// Owned file descriptors and whole-file reads and writes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace appserver::os {

// Owns one descriptor and closes it. -1 is none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

  // A second descriptor of the same open file, close-on-exec.
  Fd duplicate() const;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added. Throws SystemError.
Fd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

void set_nonblocking(int fd);

// Takes the file's lock (flock(2)) for as long as the descriptor lives, creating the file where it
// is absent; nothing where somebody else has it. Throws SystemError.
std::optional<Fd> try_lock_file(const std::filesystem::path& path);

// All of a regular file, at most `limit` bytes. Throws SystemError, or std::length_error over the
// limit.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

// Writes all of it, over interruptions and short writes. Throws SystemError.
void write_all(int fd, std::span<const std::byte> data);
void write_all(int fd, std::string_view data);

}  // namespace appserver::os
