// Files below a folder, and nothing else.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <appserver/detail/text.hpp>
#include <appserver/request.hpp>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace appserver::detail {

class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) noexcept : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct FolderEntry {
  FileHandle file;
  struct ::stat facts {};

  bool is_file() const noexcept { return static_cast<bool>(file) && S_ISREG(facts.st_mode); }
  bool is_folder() const noexcept { return static_cast<bool>(file) && S_ISDIR(facts.st_mode); }
};

class Folder {
 public:
  // Throws std::system_error where it cannot be opened, or the kernel cannot hold paths below it.
  explicit Folder(const std::string& path)
      : root_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (!root_) throw std::system_error(errno, std::generic_category(), "folder " + path);
    if (const int fd = open_below("."); fd >= 0) {
      ::close(fd);
    } else {
      throw std::system_error(errno, std::generic_category(), "openat2 below " + path);
    }
  }

  // Relative, without "." and "..". An empty entry for what is not there, not below the folder
  // (links may point about within it), not to be read, or neither file nor folder. Throws
  // std::system_error where the system fails: EMFILE, EIO.
  FolderEntry open(const std::string& path) const {
    FolderEntry entry{FileHandle(open_below(path.empty() ? "." : path.c_str())), {}};
    if (!entry.file) {
      if (!is_absence(errno)) throw std::system_error(errno, std::generic_category(), path);
      return {};
    }
    if (::fstat(entry.file.get(), &entry.facts) != 0)
      throw std::system_error(errno, std::generic_category(), path);
    if (!entry.is_file() && !entry.is_folder()) return {};
    return entry;
  }

 private:
  // O_NONBLOCK: a FIFO without a writer must not hold up the loop.
  int open_below(const char* path) const noexcept {
    ::open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    // EAGAIN: something below was renamed at the same time, and the kernel cannot be sure.
    constexpr int kTries = 100;
    for (int i = 0; i < kTries; ++i) {
      const long fd = ::syscall(SYS_openat2, root_.get(), path, &how, sizeof how);
      if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) return static_cast<int>(fd);
    }
    return -1;
  }

  static bool is_absence(int error) noexcept {
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == EXDEV ||
           error == ENAMETOOLONG || error == EACCES || error == EPERM || error == ENXIO ||
           error == ENODEV || error == EINVAL;
  }

  FileHandle root_;
};

// A path of a URL as one of a folder. `slash`: it ends in '/', or is empty.
struct FolderPath {
  std::string text;
  bool slash;
};

// Each segment decoded once. nullopt for what names nothing: "..", ".", an empty segment within,
// one that holds a '/', '\\' or control character when decoded, and one that begins with '.' unless
// `hidden`. Throws BadRequest for a wrong percent-encoding.
inline std::optional<FolderPath> folder_path(std::string_view encoded, bool hidden) {
  FolderPath path{{}, true};
  while (!encoded.empty()) {
    const std::size_t end = encoded.find('/');
    const auto segment = percent_decode(encoded.substr(0, end), false);
    if (!segment) throw BadRequest("the path is not percent-encoded rightly");
    if (segment->empty() || *segment == "." || *segment == ".." ||
        (!hidden && segment->front() == '.'))
      return std::nullopt;
    for (const char c : *segment) {
      if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
        return std::nullopt;
    }
    if (!path.text.empty()) path.text += '/';
    path.text += *segment;
    path.slash = end != std::string_view::npos;
    encoded.remove_prefix(path.slash ? end + 1 : encoded.size());
  }
  return path;
}

}  // namespace appserver::detail
