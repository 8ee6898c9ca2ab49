#include "supervisor/listeners.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "os/error.hpp"
#include "os/fd.hpp"

using namespace appserver;
using Catch::Matchers::Contains;
using supervisor::Listeners;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string name = fs::temp_directory_path() / "listeners-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

config::Listen on_tcp(const std::string& host, std::uint16_t port) {
  config::Listen listen;
  listen.host = host;
  listen.port = port;
  const bool v6 = host.find(':') != std::string::npos;
  listen.text = fmt::format("http://{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
  return listen;
}

config::Listen on_unix(const fs::path& path) {
  config::Listen listen;
  listen.unix_path = path;
  listen.text = "http://unix:" + path.string();
  return listen;
}

config::Group group_of(std::initializer_list<config::Listen> listens) {
  config::Group group;
  group.name = "shop";
  group.listen = listens;
  return group;
}

sockaddr_storage name_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  os::check(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), "getsockname()");
  return address;
}

std::uint16_t port_of(int socket) {
  const sockaddr_storage address = name_of(socket);
  return ntohs(address.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                   : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

bool listens(int socket) {
  int value = 0;
  socklen_t length = sizeof(value);
  return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1;
}

int connect_tcp(std::uint16_t port) {
  const os::Fd client(os::check(::socket(AF_INET, SOCK_STREAM, 0), "socket()"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
             ? 0
             : errno;
}

sockaddr_un unix_name(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

os::Fd unix_socket(const fs::path& path, int type) {
  os::Fd socket(os::check(::socket(AF_UNIX, type, 0), "socket()"));
  const sockaddr_un address = unix_name(path);
  os::check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            "bind()");
  return socket;
}

int connect_unix(const fs::path& path) {
  const os::Fd client(os::check(::socket(AF_UNIX, SOCK_STREAM, 0), "socket()"));
  const sockaddr_un address = unix_name(path);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
             ? 0
             : errno;
}

}  // namespace

TEST_CASE("each slot has a listening socket of its own, all on the port that the kernel chose") {
  const auto group = group_of({on_tcp("127.0.0.1", 0)});
  const Listeners listeners(group, 3);
  std::vector<int> sockets;
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    REQUIRE(listeners.of_slot(slot, group.listen).size() == 1);
    sockets.push_back(listeners.of_slot(slot, group.listen).front());
    CHECK(listens(sockets.back()));
    CHECK(port_of(sockets.back()) == port_of(sockets.front()));
    CHECK(listeners.to_lend(slot) == listeners.of_slot(slot, group.listen));
  }
  CHECK(sockets[0] != sockets[1]);
  CHECK(sockets[1] != sockets[2]);
  CHECK(listeners.addresses() ==
        std::vector<std::string>{fmt::format("http://127.0.0.1:{}", port_of(sockets.front()))});
  CHECK(connect_tcp(port_of(sockets.front())) == 0);
}

TEST_CASE("clients are spread over the slots") {
  const Listeners listeners(group_of({on_tcp("127.0.0.1", 0)}), 4);
  const std::uint16_t port = port_of(listeners.to_lend(0).front());
  for (int i = 0; i < 200; ++i) REQUIRE(connect_tcp(port) == 0);
  for (std::uint32_t slot = 0; slot < 4; ++slot) {
    const os::Fd first(::accept(listeners.to_lend(slot).front(), nullptr, nullptr));
    CHECK(first.get() >= 0);
  }
}

TEST_CASE("IPv6 addresses take IPv6 only, and * takes both families") {
  const Listeners six(group_of({on_tcp("::1", 0)}), 1);
  const int socket = six.to_lend(0).front();
  CHECK(name_of(socket).ss_family == AF_INET6);
  CHECK(six.addresses().front() == fmt::format("http://[::1]:{}", port_of(socket)));
  CHECK(connect_tcp(port_of(socket)) == ECONNREFUSED);

  const Listeners any(group_of({on_tcp("*", 0)}), 1);
  const std::uint16_t port = port_of(any.to_lend(0).front());
  CHECK(any.addresses().front() == fmt::format("http://*:{}", port));
  CHECK(connect_tcp(port) == 0);
}

TEST_CASE("several addresses are in the order of the configuration") {
  const Folder folder;
  const auto group =
      group_of({on_tcp("127.0.0.1", 0), on_unix(folder.path / "a.sock"), on_tcp("127.0.0.1", 0)});
  const Listeners listeners(group, 2);
  const auto sockets = listeners.of_slot(1, group.listen);
  REQUIRE(sockets.size() == 3);
  CHECK(name_of(sockets[0]).ss_family == AF_INET);
  CHECK(name_of(sockets[1]).ss_family == AF_UNIX);
  CHECK(listeners.to_lend(1) == std::vector<int>{sockets[0], sockets[2]});
  CHECK(listeners.addresses()[1] == "http://unix:" + (folder.path / "a.sock").string());
}

TEST_CASE("a port that is taken is refused by name, though its owner would share it") {
  const Listeners first(group_of({on_tcp("127.0.0.1", 0)}), 1);
  const auto taken = on_tcp("127.0.0.1", port_of(first.to_lend(0).front()));
  CHECK_THROWS_WITH(Listeners(group_of({taken}), 1),
                    Contains(taken.text) && Contains("Address already in use"));
}

TEST_CASE("an address that this machine does not have is refused by name") {
  CHECK_THROWS_WITH(Listeners(group_of({on_tcp("203.0.113.7", 0)}), 1),
                    Contains("http://203.0.113.7:0"));
  CHECK_THROWS_WITH(Listeners(group_of({on_tcp("nowhere", 0)}), 1),
                    Contains("http://nowhere:0: not an address"));
}

TEST_CASE("after close the port is refused, and free for the next") {
  const auto group = group_of({on_tcp("127.0.0.1", 0)});
  Listeners listeners(group, 2);
  const std::uint16_t port = port_of(listeners.to_lend(0).front());
  listeners.close();
  CHECK(listeners.of_slot(0, group.listen).empty());
  CHECK(listeners.to_lend(1).empty());
  CHECK(connect_tcp(port) == ECONNREFUSED);
  const Listeners next(group_of({on_tcp("127.0.0.1", port)}), 2);
  CHECK(connect_tcp(port) == 0);
}

TEST_CASE(
    "a unix socket is one for all slots, for the group's eyes only, and its file goes with it") {
  const Folder folder;
  const fs::path file = folder.path / "run" / "a.sock";
  {
    const auto group = group_of({on_unix(file)});
    const Listeners listeners(group, 3);
    CHECK(listeners.of_slot(0, group.listen) == listeners.of_slot(2, group.listen));
    CHECK(listeners.to_lend(1).empty());
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0660);
    CHECK(connect_unix(file) == 0);
  }
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("a stale unix socket is replaced") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  unix_socket(file, SOCK_STREAM).reset();
  REQUIRE(connect_unix(file) == ECONNREFUSED);
  const Listeners listeners(group_of({on_unix(file)}), 1);
  CHECK(connect_unix(file) == 0);
}

TEST_CASE("a unix socket that somebody listens on is refused and left alone") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  const os::Fd owner = unix_socket(file, SOCK_STREAM);
  REQUIRE(::listen(owner.get(), 5) == 0);
  CHECK_THROWS_WITH(Listeners(group_of({on_unix(file)}), 1),
                    Contains(file.string()) && Contains("another process listens there"));
  CHECK(connect_unix(file) == 0);
}

TEST_CASE("a socket of another type, and a file that is none, are refused and left alone") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  SECTION("a datagram socket in use") {
    const os::Fd owner = unix_socket(file, SOCK_DGRAM);
    CHECK_THROWS_WITH(Listeners(group_of({on_unix(file)}), 1), Contains(file.string()));
    CHECK(fs::is_socket(file));
  }
  SECTION("a file") {
    std::ofstream(file) << "precious";
    CHECK_THROWS_WITH(Listeners(group_of({on_unix(file)}), 1),
                      Contains("not a socket") && Contains(file.string()));
    CHECK(fs::file_size(file) == 8);
  }
  SECTION("a link, which is not followed") {
    fs::create_symlink(folder.path / "target", file);
    CHECK_THROWS_WITH(Listeners(group_of({on_unix(file)}), 1), Contains("not a socket"));
    CHECK(fs::is_symlink(file));
  }
}

TEST_CASE("a path that is too long for a unix socket is refused") {
  const Folder folder;
  CHECK_THROWS_WITH(Listeners(group_of({on_unix(folder.path / std::string(120, 'x'))}), 1),
                    Contains("1 to 107 bytes"));
}

TEST_CASE("a group of which one address cannot be had leaves nothing behind") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  const Listeners first(group_of({on_tcp("127.0.0.1", 0)}), 1);
  const auto taken = on_tcp("127.0.0.1", port_of(first.to_lend(0).front()));
  CHECK_THROWS(Listeners(group_of({on_unix(file), taken}), 1));
  CHECK_FALSE(fs::exists(file));
  auto group = group_of({on_unix(file)});
  group.user = "nobody-of-this-name";
  CHECK_THROWS(Listeners(group, 1));
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("a new address is opened beside the others, and the old ones keep their sockets") {
  const Folder folder;
  const auto before = group_of({on_tcp("127.0.0.1", 0)});
  Listeners listeners(before, 2);
  const auto old = listeners.of_slot(1, before.listen);
  const auto after =
      group_of({on_unix(folder.path / "a.sock"), on_tcp("127.0.0.1", 0), on_tcp("127.0.0.1", 0)});
  listeners.extend(after, 2);
  listeners.extend(after, 2);
  CHECK(listeners.of_slot(1, before.listen) == old);
  const auto sockets = listeners.of_slot(1, after.listen);
  REQUIRE(sockets.size() == 3);
  CHECK(name_of(sockets[0]).ss_family == AF_UNIX);
  CHECK(sockets[1] == old.front());
  CHECK(port_of(sockets[2]) != port_of(sockets[1]));
  CHECK(listeners.addresses().size() == 3);
}

TEST_CASE("an address that the group no longer has is closed, and its file removed") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  const auto before = group_of({on_unix(file), on_tcp("127.0.0.1", 0), on_tcp("127.0.0.1", 0)});
  Listeners listeners(before, 2);
  const auto old = listeners.of_slot(0, before.listen);
  const std::uint16_t gone = port_of(old[2]);
  const auto after = group_of({on_tcp("127.0.0.1", 0)});
  listeners.keep_only(after);
  CHECK(listeners.of_slot(0, after.listen) == std::vector<int>{old[1]});
  CHECK(listeners.addresses() ==
        std::vector<std::string>{fmt::format("http://127.0.0.1:{}", port_of(old[1]))});
  CHECK(connect_tcp(gone) == ECONNREFUSED);
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("an address that cannot be had leaves what is open as it was") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  const Listeners other(group_of({on_tcp("127.0.0.1", 0)}), 1);
  const auto taken = on_tcp("127.0.0.1", port_of(other.to_lend(0).front()));
  const auto before = group_of({on_tcp("127.0.0.1", 0)});
  Listeners listeners(before, 2);
  const auto addresses = listeners.addresses();
  CHECK_THROWS_WITH(listeners.extend(group_of({on_tcp("127.0.0.1", 0), on_unix(file), taken}), 4),
                    Contains(taken.text));
  CHECK(listeners.slots() == 2);
  CHECK(listeners.addresses() == addresses);
  CHECK(listeners.of_slot(1, before.listen).size() == 1);
  CHECK(listeners.to_lend(2).empty());
  CHECK_FALSE(fs::exists(file));
  listeners.extend(before, 4);
  CHECK(listeners.slots() == 4);
  CHECK(port_of(listeners.to_lend(3).front()) == port_of(listeners.to_lend(0).front()));
}

TEST_CASE("a socket's file that somebody else put in its place is left alone") {
  const Folder folder;
  const fs::path file = folder.path / "a.sock";
  {
    const Listeners listeners(group_of({on_unix(file)}), 1);
    fs::remove(file);
    std::ofstream(file) << "precious";
  }
  CHECK(fs::exists(file));
}
