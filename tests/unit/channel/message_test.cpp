#include "channel/message.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

using namespace appserver;
using channel::Kind;
using channel::Message;

namespace {

// A message as raw bytes: version, kind, slot and number in the layout of the channel, then text.
std::string raw(std::uint16_t version, std::uint16_t kind, std::string_view text = {}) {
  std::string bytes(16, '\0');
  std::memcpy(bytes.data(), &version, sizeof(version));
  std::memcpy(bytes.data() + 2, &kind, sizeof(kind));
  return bytes.append(text);
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

ino_t inode(int fd) {
  struct stat status {};
  REQUIRE(::fstat(fd, &status) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("a message arrives as it was sent, with its descriptors") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  Message sent;
  sent.kind = Kind::lend;
  sent.slot = 0xfffffffe;
  sent.number = 0xfffffffffffffffe;
  sent.text = std::string("a\0b", 3);
  REQUIRE(channel::send(left.get(), sent, {null.get()}) == os::SendResult::sent);

  Message received;
  REQUIRE(channel::receive(right.get(), received) == os::ReceiveResult::received);
  CHECK(received.kind == Kind::lend);
  CHECK(received.slot == sent.slot);
  CHECK(received.number == sent.number);
  CHECK(received.text == sent.text);
  REQUIRE(received.fds.size() == 1);
  CHECK(inode(received.fds[0].get()) == inode(null.get()));
}

TEST_CASE("every kind is understood") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  for (const Kind kind :
       {Kind::boot,  Kind::serve,   Kind::probe,    Kind::adopt,       Kind::drain,
        Kind::lend,  Kind::reclaim, Kind::kept,     Kind::save_state,  Kind::certificates,
        Kind::ready, Kind::failed,  Kind::drained,  Kind::stopped,     Kind::state,
        Kind::bus,   Kind::link,    Kind::want_bus, Kind::ask_gateway, Kind::gateway_answer}) {
    Message message;
    message.kind = kind;
    REQUIRE(channel::send(left.get(), message) == os::SendResult::sent);
    Message received;
    REQUIRE(channel::receive(right.get(), received) == os::ReceiveResult::received);
    CHECK(received.kind == kind);
    CHECK(received.text.empty());
    CHECK(received.fds.empty());
  }
}

TEST_CASE("a message that is received replaces all of the one before") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  Message message{Kind::failed, 3, 4, "text", {}};
  REQUIRE(channel::send(left.get(), message, {null.get()}) == os::SendResult::sent);
  REQUIRE(channel::send(left.get(), Message{Kind::ready, 0, 0, {}, {}}) == os::SendResult::sent);
  REQUIRE(channel::receive(right.get(), message) == os::ReceiveResult::received);
  REQUIRE(channel::receive(right.get(), message) == os::ReceiveResult::received);
  CHECK(message.kind == Kind::ready);
  CHECK(message.slot == 0);
  CHECK(message.number == 0);
  CHECK(message.text.empty());
  CHECK(message.fds.empty());
}

TEST_CASE("a text that is too long is cut, not refused") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  Message message{Kind::failed, 0, 0, std::string(channel::kMaxText + 1, 'x'), {}};
  REQUIRE(channel::send(left.get(), message) == os::SendResult::sent);
  REQUIRE(channel::receive(right.get(), message) == os::ReceiveResult::received);
  CHECK(message.text.size() == channel::kMaxText);
}

TEST_CASE("a malformed message is refused in words, and its descriptors are the caller's") {
  const auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  std::string bytes;
  std::string words;
  SECTION("another version") {
    bytes = raw(channel::kVersion + 1, 101);
    words = "a channel message has version 4, this is 3";
  }
  SECTION("too short") {
    bytes = raw(channel::kVersion, 101).substr(0, 15);
    words = "a channel message is too short";
  }
  SECTION("unknown kinds") {
    const auto kind = GENERATE(std::uint16_t{0}, std::uint16_t{16}, std::uint16_t{100},
                               std::uint16_t{109}, std::uint16_t{0xffff});
    bytes = raw(channel::kVersion, kind);
    words = "unknown channel message " + std::to_string(kind);
  }
  SECTION("too long") {
    bytes = raw(channel::kVersion, 101, std::string(channel::kMaxText + 1, 'x'));
    words = "a message from the other process was cut";
  }
  const os::Fd null = os::open_file("/dev/null", O_RDWR);
  const auto before = open_descriptors();
  const std::array<int, 1> fds{null.get()};
  REQUIRE(os::send_packet(left.get(), bytes, fds) == os::SendResult::sent);
  Message message;
  CHECK_THROWS_WITH(channel::receive(right.get(), message), words);
  CHECK(message.fds.size() == 1);
  message.fds.clear();
  CHECK(open_descriptors() == before);
}

TEST_CASE("no message and no peer are told apart") {
  auto [left, right] = os::make_socket_pair(SOCK_SEQPACKET);
  Message message;
  CHECK(channel::receive(right.get(), message) == os::ReceiveResult::would_block);
  left.reset();
  CHECK(channel::receive(right.get(), message) == os::ReceiveResult::closed);
  CHECK(channel::send(right.get(), message) == os::SendResult::closed);
}
