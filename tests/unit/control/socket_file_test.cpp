#include "control/socket_file.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <thread>

#include "fake_daemon.hpp"
#include "raw_client.hpp"

using namespace appserver::control;

namespace fs = std::filesystem;

namespace {

unsigned mode_of(const fs::path& path) {
  struct ::stat found {};
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777u;
}

// What a killed daemon leaves: a socket that nobody listens on, and an unlocked lock file.
void leave_behind(const fs::path& path) {
  const appserver::os::Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const void* pointer = &address;
  REQUIRE(::bind(socket.get(), static_cast<const ::sockaddr*>(pointer), sizeof(address)) == 0);
  std::ofstream(path.native() + ".lock") << "99999\n";
}

}  // namespace

TEST_CASE(
    "the socket is open to owner and group, in a folder closed to others, whatever the umask") {
  const TemporaryFolder folder;
  const ::mode_t before = ::umask(0);
  const SocketFile file(folder / "run/deep/x.sock");
  REQUIRE(::umask(before) == 0);
  REQUIRE(mode_of(file.path()) == 0660);
  REQUIRE(mode_of(folder / "run") == 0750);
  REQUIRE(mode_of(folder / "run/deep") == 0750);
}

TEST_CASE("nothing is left when the daemon goes") {
  const TemporaryFolder folder;
  { const SocketFile file(folder / "x.sock"); }
  REQUIRE(fs::is_empty(folder / ""));
}

TEST_CASE("a socket left by a dead daemon is replaced") {
  const TemporaryFolder folder;
  leave_behind(folder / "x.sock");
  SocketFile file(folder / "x.sock");
  RawClient client(file.path());
}

TEST_CASE("a second daemon on the same path is refused and told the first one's pid") {
  const TemporaryFolder folder;
  SocketFile first(folder / "x.sock");
  REQUIRE_THROWS_AS(SocketFile(first.path()), AlreadyRunning);
  REQUIRE_THROWS_WITH(SocketFile(first.path()),
                      Catch::StartsWith(fmt::format("another appserverd (pid {}) is running on {};",
                                                    ::getpid(), first.path().native())));
  RawClient client(first.path());
}

TEST_CASE("a lock that a killed daemon's child holds for a moment is waited for") {
  const TemporaryFolder folder;
  leave_behind(folder / "x.sock");
  const std::string lock = (folder / "x.sock").native() + ".lock";
  std::optional<appserver::os::Fd> held = appserver::os::try_lock_file(lock);
  REQUIRE(held);
  const appserver::os::Fd events(::inotify_init1(IN_CLOEXEC));
  REQUIRE(::inotify_add_watch(events.get(), lock.c_str(), IN_OPEN) >= 0);
  std::thread child([&held, &events] {
    // A second look at the lock says that the first one found it taken.
    for (int looks = 0; looks < 2; ++looks) {
      ::inotify_event event{};
      ::pollfd opened{events.get(), POLLIN, 0};
      if (::poll(&opened, 1, 10'000) != 1 || ::read(events.get(), &event, sizeof(event)) < 0) break;
    }
    held.reset();
  });
  SocketFile file(folder / "x.sock");
  child.join();
  RawClient client(file.path());
}

TEST_CASE("a socket that answers is not taken over even where its lock is lost") {
  const TemporaryFolder folder;
  SocketFile first(folder / "x.sock");
  fs::remove(first.path().native() + ".lock");
  REQUIRE_THROWS_AS(SocketFile(first.path()), AlreadyRunning);
  RawClient client(first.path());
}

TEST_CASE("what is not a socket is left alone") {
  const TemporaryFolder folder;
  std::ofstream(folder / "x.sock") << "precious";
  REQUIRE_THROWS_WITH(SocketFile(folder / "x.sock"), Catch::Contains("is not a socket"));
  REQUIRE(fs::file_size(folder / "x.sock") == 8);
}

TEST_CASE("a path that no socket can have is refused with the setting to change") {
  REQUIRE_THROWS_WITH(SocketFile("/tmp/" + std::string(200, 'x')),
                      Catch::Contains("daemon.control.socket"));
}

TEST_CASE("a daemon removes only its own socket") {
  const TemporaryFolder folder;
  std::optional<SocketFile> first(std::in_place, folder / "x.sock");
  fs::remove(folder / "x.sock");
  fs::remove(folder / "x.sock.lock");
  const SocketFile second(folder / "x.sock");
  first.reset();
  REQUIRE(fs::exists(folder / "x.sock"));
  REQUIRE(fs::exists(folder / "x.sock.lock"));
}
