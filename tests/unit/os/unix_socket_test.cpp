#include "os/unix_socket.hpp"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <stdexcept>
#include <utility>

using namespace appserver;
using Kind = os::Occupant::Kind;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string name = fs::temp_directory_path() / "unix-socket-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

}  // namespace

TEST_CASE("a bound socket has its mode whatever the umask, which is as before afterwards") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  const mode_t before = ::umask(0);
  const os::NamedSocket bound = os::bind_unix_socket(file, 0640);
  CHECK(::umask(before) == 0);
  struct stat status {};
  REQUIRE(::lstat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777U) == 0640);
}

TEST_CASE("what stands at a socket's place is told apart") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  CHECK(os::find_occupant(file).kind == Kind::nobody);
  os::NamedSocket bound = os::bind_unix_socket(file, 0600);
  CHECK(os::find_occupant(file).kind == Kind::stale);
  REQUIRE(::listen(bound.socket.get(), 0) == 0);
  const os::Occupant first = os::find_occupant(file);
  CHECK(first.kind == Kind::listening);
  CHECK(first.connection);
  const os::Occupant second = os::find_occupant(file);
  CHECK(second.kind == Kind::listening);
  CHECK_FALSE(second.connection);

  std::ofstream(folder.path / "b.sock") << "x";
  CHECK(os::find_occupant(folder.path / "b.sock").kind == Kind::not_a_socket);
  fs::create_symlink(file, folder.path / "link");
  CHECK(os::find_occupant(folder.path / "link").kind == Kind::not_a_socket);
}

TEST_CASE("a socket's name goes with its owner, and only if it is still the same file") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  os::SocketName kept;
  {
    os::NamedSocket bound = os::bind_unix_socket(file, 0600);
    kept = std::move(bound.name);
  }
  CHECK(fs::exists(file));
  kept.remove();
  CHECK_FALSE(fs::exists(file));

  {
    const os::NamedSocket first = os::bind_unix_socket(file, 0600);
    fs::remove(file);
    std::ofstream(file) << "precious";
  }
  CHECK(fs::exists(file));
}

TEST_CASE("a path that no socket can have is refused") {
  CHECK_THROWS_AS(os::find_occupant(""), std::invalid_argument);
  CHECK_THROWS_AS(os::bind_unix_socket("/tmp/" + std::string(200, 'x'), 0600),
                  std::invalid_argument);
}
