#include "os/fd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "os/error.hpp"

using namespace appserver;

TEST_CASE("a descriptor is closed when its owner goes") {
  int number = -1;
  {
    const os::Fd file = os::open_file("/dev/null", O_RDONLY);
    number = file.get();
    REQUIRE(::fcntl(number, F_GETFD) == FD_CLOEXEC);
  }
  REQUIRE(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("a failed call says what was tried on what") {
  REQUIRE_THROWS_WITH(os::open_file("/nowhere/x", O_RDONLY),
                      "open(\"/nowhere/x\"): No such file or directory");
}

TEST_CASE("a file over the limit is refused, not read whole") {
  REQUIRE_THROWS_WITH(os::read_file("/dev/zero", 1000), "/dev/zero: larger than 1000 bytes");
}

TEST_CASE("a moved descriptor has one owner") {
  os::Fd first = os::open_file("/dev/null", O_RDONLY);
  const int number = first.get();
  os::Fd second(std::move(first));
  CHECK_FALSE(first);
  CHECK(second.get() == number);
  os::Fd third = os::open_file("/dev/zero", O_RDONLY);
  const int replaced = third.get();
  third = std::move(second);
  CHECK(third.get() == number);
  CHECK(::fcntl(replaced, F_GETFD) == -1);
  CHECK(third.release() == number);
  CHECK_FALSE(third);
  REQUIRE(::fcntl(number, F_GETFD) != -1);
  ::close(number);
}

TEST_CASE("a duplicate outlives the original and is close-on-exec") {
  os::Fd original = os::open_file("/dev/null", O_RDONLY);
  const os::Fd duplicate = original.duplicate();
  original.reset();
  CHECK(::fcntl(duplicate.get(), F_GETFD) == FD_CLOEXEC);
  CHECK_THROWS_AS(original.duplicate(), os::SystemError);
}

TEST_CASE("what is written whole is read whole, over short reads and writes") {
  const os::Fd file(::memfd_create("file", MFD_CLOEXEC));
  std::string content(300'000, 'a');
  content.back() = 'z';
  os::write_all(file.get(), content);
  CHECK(os::read_file(fmt::format("/proc/self/fd/{}", file.get()), content.size()) == content);
  CHECK_THROWS_AS(os::read_file(fmt::format("/proc/self/fd/{}", file.get()), content.size() - 1),
                  std::length_error);
}

TEST_CASE("a write that fails throws, and a FIFO without a writer does not hang a read") {
  const os::Fd full = os::open_file("/dev/full", O_WRONLY);
  CHECK_THROWS_WITH(os::write_all(full.get(), "x"), Catch::Contains("No space left"));
  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  const os::Fd read_end(pipe[0]);
  os::Fd(pipe[1]).reset();
  CHECK(os::read_file(fmt::format("/proc/self/fd/{}", read_end.get()), 100).empty());
}
