// Memory shared between processes through a descriptor: memfd_create(2), F_ADD_SEALS in fcntl(2).
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "os/fd.hpp"

namespace appserver::os {

// A memory file with this content that nobody can change any more.
Fd make_sealed_memfd(const char* name, std::string_view content);
Fd make_sealed_memfd(const char* name, std::initializer_list<std::string_view> parts);

// A zeroed memory file of `size` bytes whose size nobody can change, so that a mapping of it can
// never fault.
Fd make_shared_memfd(const char* name, std::size_t size);

// The size of a sealed memory file, without a look at its content. Throws where it is none, is not
// sealed against changes, or is over `limit`. Never blocks, whatever the descriptor is.
std::size_t check_sealed_memfd(int fd, std::size_t limit);

// All of a sealed memory file. Throws where it is not sealed against changes or is over `limit`.
std::string read_sealed_memfd(int fd, std::size_t limit);

// A read-write mapping of a memory file from make_shared_memfd.
class SharedMapping {
 public:
  SharedMapping() = default;
  // Throws where the file is shorter than `size` or could still shrink.
  SharedMapping(int memfd, std::size_t size);
  SharedMapping(SharedMapping&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}
  SharedMapping& operator=(SharedMapping&& other) noexcept;
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping();

  std::span<std::byte> bytes() const { return memory_; }
  // The memory stays mapped until the process ends.
  std::span<std::byte> release() { return std::exchange(memory_, {}); }

 private:
  std::span<std::byte> memory_;
};

}  // namespace appserver::os
