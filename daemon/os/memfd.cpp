#include "os/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

#include "os/error.hpp"

namespace appserver::os {
namespace {

constexpr int kContentSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

std::size_t sealed_size(int fd, int wanted_seals) {
  const int seals = check(::fcntl(fd, F_GET_SEALS), "fcntl({}, F_GET_SEALS)", fd);
  if ((seals & wanted_seals) != wanted_seals) {
    throw std::runtime_error("a memory file that was passed in is not sealed");
  }
  struct stat status {};
  check(::fstat(fd, &status), "fstat({})", fd);
  return static_cast<std::size_t>(status.st_size);
}

Fd make_memfd(const char* name) {
  return Fd(check(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create({})", name));
}

}  // namespace

Fd make_sealed_memfd(const char* name, std::string_view content) {
  return make_sealed_memfd(name, std::initializer_list<std::string_view>{content});
}

Fd make_sealed_memfd(const char* name, std::initializer_list<std::string_view> parts) {
  Fd file = make_memfd(name);
  for (const std::string_view part : parts) write_all(file.get(), part);
  check(::fcntl(file.get(), F_ADD_SEALS, kContentSeals | F_SEAL_SEAL), "fcntl({}, F_ADD_SEALS)",
        name);
  return file;
}

Fd make_shared_memfd(const char* name, std::size_t size) {
  Fd file = make_memfd(name);
  check(::ftruncate(file.get(), static_cast<off_t>(size)), "ftruncate({}, {})", name, size);
  check(::fcntl(file.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL), "fcntl({}, F_ADD_SEALS)", name);
  return file;
}

std::size_t check_sealed_memfd(int fd, std::size_t limit) {
  const std::size_t size = sealed_size(fd, kContentSeals);
  if (size > limit) {
    throw std::length_error(fmt::format("a memory file of {} bytes, over {}", size, limit));
  }
  return size;
}

std::string read_sealed_memfd(int fd, std::size_t limit) {
  const std::size_t size = check_sealed_memfd(fd, limit);
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const auto got =
        check(retry_on_interrupt([&] {
                return ::pread(fd, content.data() + done, size - done, static_cast<off_t>(done));
              }),
              "pread({})", fd);
    if (got == 0) throw std::runtime_error("a memory file ended early");
    done += static_cast<std::size_t>(got);
  }
  return content;
}

SharedMapping::SharedMapping(int memfd, std::size_t size) {
  if (sealed_size(memfd, kSizeSeals) < size) {
    throw std::runtime_error(fmt::format("a shared memory file is shorter than {} bytes", size));
  }
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  if (memory == MAP_FAILED) throw_system_error(errno, fmt::format("mmap({} bytes)", size));
  memory_ = {static_cast<std::byte*>(memory), size};
}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  std::swap(memory_, other.memory_);
  return *this;
}

SharedMapping::~SharedMapping() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

}  // namespace appserver::os
