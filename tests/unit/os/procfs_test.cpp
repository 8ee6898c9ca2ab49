#include "os/procfs.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <vector>

using namespace appserver;

TEST_CASE("the resident memory of this process grows with what it touches") {
  const std::uint64_t before = os::resident_bytes(::getpid());
  REQUIRE(before > 100'000);
  const std::vector<char> memory(std::size_t{64} << 20, 'x');
  CHECK(os::resident_bytes(::getpid()) > before + (std::size_t{48} << 20));
  CHECK(memory.back() == 'x');
}

TEST_CASE("a process that is gone has no memory") {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  CHECK(os::resident_bytes(pid) == 0);
}
