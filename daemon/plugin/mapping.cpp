#include "plugin/mapping.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>

#include "os/error.hpp"

namespace appserver::plugin {

Mapping::Mapping(int fd, std::uint64_t size) : size_(size) {
  if (size == 0) return;
  address_ = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address_ == MAP_FAILED)
    os::throw_system_error(errno, fmt::format("mmap(fd {}, {} bytes)", fd, size));
}

Mapping::~Mapping() {
  if (address_ != nullptr) ::munmap(address_, size_);
}

}  // namespace appserver::plugin
