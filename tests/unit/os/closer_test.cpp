#include "os/closer.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "os/error.hpp"

using namespace appserver;

namespace {

// A connection over which nothing more goes, for its peer does not read.
struct Stuck {
  os::Fd ours;
  os::Fd peer;

  Stuck() {
    const os::Fd listener(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    os::check(::bind(listener.get(), raw, size), "bind()");
    os::check(::listen(listener.get(), 1), "listen()");
    os::check(::getsockname(listener.get(), raw, &size), "getsockname()");
    ours = os::Fd(os::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
    os::check(::connect(ours.get(), raw, size), "connect()");
    peer = os::Fd(os::check(::accept(listener.get(), nullptr, nullptr), "accept()"));
    os::set_nonblocking(ours.get());
    const std::array<char, 65536> filler{};
    while (::send(ours.get(), filler.data(), filler.size(), MSG_NOSIGNAL) > 0) continue;
    const linger for_ever{1, 3600};
    os::check(::setsockopt(ours.get(), SOL_SOCKET, SO_LINGER, &for_ever, sizeof(for_ever)),
              "setsockopt(SO_LINGER)");
  }
};

bool becomes_closed(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (::fcntl(fd, F_GETFD) < 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace

TEST_CASE("a socket whose close would wait for an hour is closed, and nobody waits") {
  os::Closer closer;
  Stuck stuck;
  const int number = stuck.ours.get();
  CHECK(closer.close(std::move(stuck.ours)));
  CHECK(becomes_closed(number));
}

TEST_CASE("what is given to a closer is closed though the closer ends at once") {
  int number = -1;
  {
    os::Closer closer;
    os::Fd file = os::open_file("/dev/null", O_RDONLY);
    number = file.get();
    CHECK(closer.close(std::move(file)));
    CHECK(closer.close(os::Fd()));
  }
  CHECK(becomes_closed(number));
}
