#include "os/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

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
  REQUIRE_THROWS_WITH(os::open_file("/nowhere/x", O_RDONLY), "open(\"/nowhere/x\"): No such file or directory");
}

TEST_CASE("a file over the limit is refused, not read whole") {
  REQUIRE_THROWS_WITH(os::read_file("/dev/zero", 1000), "/dev/zero: larger than 1000 bytes");
}
