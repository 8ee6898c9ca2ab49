#include "os/message_socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <stdexcept>

#include "os/error.hpp"

using namespace appserver;

namespace {

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

bool same_file(int left, int right) {
  struct stat a {};
  struct stat b {};
  return ::fstat(left, &a) == 0 && ::fstat(right, &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

}  // namespace

TEST_CASE("the two ends are close-on-exec and do not block") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  for (const int fd : {left.get(), right.get()}) {
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  }
  os::Packet packet;
  CHECK(os::receive_packet(left.get(), 100, packet) == os::ReceiveResult::would_block);
}

TEST_CASE("messages keep their bounds and their order") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const std::array<std::string_view, 2> parts{"head", "body"};
  REQUIRE(os::send_packet(left.get(), parts) == os::SendResult::sent);
  REQUIRE(os::send_packet(left.get(), "second") == os::SendResult::sent);
  os::Packet packet;
  REQUIRE(os::receive_packet(right.get(), 8, packet) == os::ReceiveResult::received);
  CHECK(packet.data == "headbody");
  CHECK(packet.fds.empty());
  REQUIRE(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::received);
  CHECK(packet.data == "second");
}

TEST_CASE("descriptors arrive in order, close-on-exec, as the same open files") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  const os::Fd zero = os::open_file("/dev/zero", O_RDONLY);
  const std::array<int, 2> sent{null.get(), zero.get()};
  REQUIRE(os::send_packet(left.get(), "x", sent) == os::SendResult::sent);
  os::Packet packet;
  REQUIRE(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::received);
  REQUIRE(packet.fds.size() == 2);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CHECK(packet.fds[i].get() != sent[i]);
    CHECK(same_file(packet.fds[i].get(), sent[i]));
    CHECK((::fcntl(packet.fds[i].get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("as many descriptors as the kernel takes go in one message, one more is refused") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  std::vector<int> many(os::kMaxPassedFds, null.get());
  REQUIRE(os::send_packet(left.get(), "x", many) == os::SendResult::sent);
  os::Packet packet;
  REQUIRE(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::received);
  CHECK(packet.fds.size() == os::kMaxPassedFds);
  many.push_back(null.get());
  CHECK_THROWS_AS(os::send_packet(left.get(), "x", many), std::length_error);
}

TEST_CASE("a message over the limit is refused, and its descriptors are the caller's") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  const auto before = open_descriptors();
  const std::array<int, 2> sent{null.get(), null.get()};
  REQUIRE(os::send_packet(left.get(), "12345", sent) == os::SendResult::sent);
  REQUIRE(os::send_packet(left.get(), "1234") == os::SendResult::sent);
  os::Packet packet;
  CHECK_THROWS_WITH(os::receive_packet(right.get(), 4, packet),
                    "a message from the other process was cut");
  CHECK(packet.data.empty());
  CHECK(packet.fds.size() == 2);
  packet.fds.clear();
  CHECK(open_descriptors() == before);
  REQUIRE(os::receive_packet(right.get(), 4, packet) == os::ReceiveResult::received);
  CHECK(packet.data == "1234");
}

TEST_CASE("where nobody reads, a sender is told instead of blocked, and goes on later") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const std::string message(1000, 'x');
  int sent = 0;
  while (sent < 100'000 && os::send_packet(left.get(), message) == os::SendResult::sent) ++sent;
  REQUIRE(sent > 0);
  REQUIRE(sent < 100'000);
  REQUIRE(os::send_packet(left.get(), message) == os::SendResult::would_block);
  os::Packet packet;
  for (int i = 0; i < sent; ++i) {
    REQUIRE(os::receive_packet(right.get(), 1000, packet) == os::ReceiveResult::received);
  }
  CHECK(os::send_packet(left.get(), message) == os::SendResult::sent);
}

TEST_CASE("what was sent before the end is still read, then the end is seen on both ways") {
  auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  REQUIRE(os::send_packet(left.get(), "last") == os::SendResult::sent);
  left.reset();
  os::Packet packet;
  REQUIRE(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::received);
  CHECK(packet.data == "last");
  CHECK(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::closed);
  CHECK(packet.data.empty());
  CHECK(os::send_packet(right.get(), "x") == os::SendResult::closed);
}

TEST_CASE("messages that were never read end as closed, not as an error") {
  auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  REQUIRE(os::send_packet(right.get(), "unread") == os::SendResult::sent);
  left.reset();
  os::Packet packet;
  CHECK(os::receive_packet(right.get(), 100, packet) == os::ReceiveResult::closed);
}

TEST_CASE("a descriptor that is no socket is a bug and throws") {
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  os::Packet packet;
  CHECK_THROWS_AS(os::receive_packet(null.get(), 100, packet), os::SystemError);
  CHECK_THROWS_AS(os::send_packet(null.get(), "x"), os::SystemError);
}
