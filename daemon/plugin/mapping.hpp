// A whole file in memory, read-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace appserver::plugin {

// Only for files that nobody shortens meanwhile: those of the store, and sealed or own memory
// files.
class Mapping {
 public:
  // The first `size` bytes of `fd`, which may be closed then. Throws os::SystemError.
  Mapping(int fd, std::uint64_t size);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(address_), size_};
  }

 private:
  void* address_ = nullptr;
  std::uint64_t size_;
};

}  // namespace appserver::plugin
