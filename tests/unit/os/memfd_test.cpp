#include "os/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "os/error.hpp"

using namespace appserver;

namespace {

os::Fd unsealed(std::size_t size) {
  os::Fd file(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(file);
  REQUIRE(::ftruncate(file.get(), static_cast<off_t>(size)) == 0);
  return file;
}

}  // namespace

TEST_CASE("a sealed memory file gives back what was put in, again and again") {
  std::string content(100'000, 'x');
  content[5] = '\0';
  const os::Fd file = os::make_sealed_memfd("test", content);
  CHECK(os::read_sealed_memfd(file.get(), content.size()) == content);
  CHECK(os::read_sealed_memfd(file.get(), content.size()) == content);
  CHECK(os::read_sealed_memfd(os::make_sealed_memfd("empty", "").get(), 0).empty());
}

TEST_CASE("a sealed memory file cannot be written, grown, shrunk or unsealed") {
  const os::Fd file = os::make_sealed_memfd("test", "content");
  CHECK((::fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::pwrite(file.get(), "x", 1, 0) == -1);
  CHECK(::ftruncate(file.get(), 1) == -1);
  CHECK(::ftruncate(file.get(), 100) == -1);
  CHECK(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE) == -1);
  CHECK(::mmap(nullptr, 7, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) == MAP_FAILED);
}

TEST_CASE("a memory file that could still change, or is none, is refused") {
  CHECK_THROWS_WITH(os::read_sealed_memfd(unsealed(10).get(), 100),
                    "a memory file that was passed in is not sealed");
  CHECK_THROWS_WITH(os::read_sealed_memfd(os::make_shared_memfd("shared", 10).get(), 100),
                    "a memory file that was passed in is not sealed");
  const os::Fd plain = os::open_file("/dev/null", O_RDONLY);
  CHECK_THROWS_AS(os::read_sealed_memfd(plain.get(), 100), os::SystemError);
}

TEST_CASE("a sealed memory file over the limit is refused") {
  const os::Fd file = os::make_sealed_memfd("test", "12345");
  CHECK_THROWS_AS(os::read_sealed_memfd(file.get(), 4), std::length_error);
}

TEST_CASE("the size of a sealed memory file is told, and what is none, or too large, is refused") {
  const os::Fd file = os::make_sealed_memfd("test", {"12", "345"});
  CHECK(os::check_sealed_memfd(file.get(), 5) == 5);
  CHECK(os::read_sealed_memfd(file.get(), 5) == "12345");
  CHECK_THROWS_AS(os::check_sealed_memfd(file.get(), 4), std::length_error);
  CHECK_THROWS_AS(os::check_sealed_memfd(unsealed(5).get(), 5), std::runtime_error);
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const os::Fd read_end(ends[0]);
  const os::Fd write_end(ends[1]);
  CHECK_THROWS_AS(os::check_sealed_memfd(read_end.get(), 5), os::SystemError);
}

TEST_CASE("two mappings of a shared memory file see one memory, which begins as zeros") {
  const os::Fd file = os::make_shared_memfd("shared", 5000);
  const os::SharedMapping one(file.get(), 5000);
  os::SharedMapping two(file.get(), 5000);
  REQUIRE(one.bytes().size() == 5000);
  CHECK(std::ranges::all_of(one.bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
  one.bytes()[4999] = std::byte{42};
  CHECK(two.bytes()[4999] == std::byte{42});
  CHECK(::ftruncate(file.get(), 0) == -1);

  os::SharedMapping moved(std::move(two));
  CHECK(moved.bytes()[4999] == std::byte{42});
  os::SharedMapping assigned;
  assigned = std::move(moved);
  CHECK(assigned.bytes()[4999] == std::byte{42});
}

TEST_CASE("a mapping that could fault is refused") {
  CHECK_THROWS_WITH(os::SharedMapping(unsealed(5000).get(), 5000),
                    "a memory file that was passed in is not sealed");
  CHECK_THROWS_WITH(os::SharedMapping(os::make_shared_memfd("shared", 4999).get(), 5000),
                    "a shared memory file is shorter than 5000 bytes");
}
