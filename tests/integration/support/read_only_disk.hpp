// A folder that cannot be written, whoever tries.
#pragma once

#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

namespace appserver::integration {

// Mounts a folder over itself without the right to write there, where the kernel lets us.
class ReadOnlyDisk {
 public:
  explicit ReadOnlyDisk(std::filesystem::path folder) : folder_(std::move(folder)) {
    mounted_ = ::mount(folder_.c_str(), folder_.c_str(), nullptr, MS_BIND, nullptr) == 0;
    const bool read_only = mounted_ && ::mount(nullptr, folder_.c_str(), nullptr,
                                               MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
    if (read_only) return;
    why_not_ = std::strerror(errno);
    end();
  }
  ~ReadOnlyDisk() { end(); }
  ReadOnlyDisk(const ReadOnlyDisk&) = delete;
  ReadOnlyDisk& operator=(const ReadOnlyDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& why_not() const { return why_not_; }
  void end() {
    if (std::exchange(mounted_, false)) ::umount2(folder_.c_str(), MNT_DETACH);
  }

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
  std::string why_not_;
};

}  // namespace appserver::integration
