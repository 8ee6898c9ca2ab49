#include "channel/state_file.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "os/memfd.hpp"

using namespace appserver;

TEST_CASE("a state comes out of its file as it went in, however often it is read") {
  std::string bytes(1'000'000, 'x');
  bytes[3] = '\0';
  const os::Fd file = channel::write_state_file(0xfffffffe, bytes);
  for (int time = 0; time < 2; ++time) {
    const channel::State state = channel::read_state_file(file.get());
    CHECK(state.version == 0xfffffffe);
    CHECK((state.bytes == bytes));
  }
  CHECK(channel::read_state_file(channel::write_state_file(0, {}).get()).bytes.empty());
}

TEST_CASE("a state of just the bound fits, and its file is sealed") {
  const os::Fd file = channel::write_state_file(1, std::string(channel::kMaxState, 's'));
  CHECK(os::check_sealed_memfd(file.get(), channel::kMaxStateFile) == channel::kMaxStateFile);
  CHECK(::pwrite(file.get(), "x", 1, 9) == -1);
  CHECK(::ftruncate(file.get(), 4) == -1);
  CHECK(channel::read_state_file(file.get()).bytes.size() == channel::kMaxState);
}

TEST_CASE("a file that is no state is refused") {
  CHECK_THROWS_AS(channel::read_state_file(
                      channel::write_state_file(1, std::string(channel::kMaxState + 1, 's')).get()),
                  std::length_error);
  CHECK_THROWS_WITH(channel::read_state_file(os::make_sealed_memfd("x", "1234567").get()),
                    "a predecessor's state is too short");
  CHECK_THROWS_WITH(channel::read_state_file(os::make_sealed_memfd("x", "12345678").get()),
                    "a predecessor's state is of another format");
  CHECK_THROWS_WITH(channel::read_state_file(os::make_shared_memfd("x", 100).get()),
                    "a memory file that was passed in is not sealed");
}
