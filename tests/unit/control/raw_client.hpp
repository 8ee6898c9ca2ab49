// A client without manners: bytes in, bytes out.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace appserver::control {

class RawClient {
 public:
  explicit RawClient(const std::filesystem::path& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    ::sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.native().size() < sizeof(address.sun_path));
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const void* pointer = &address;
    REQUIRE(::connect(fd_.get(), static_cast<const ::sockaddr*>(pointer), sizeof(address)) == 0);
  }

  // False once the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // All that comes until the server closes, or until `ending` has come.
  std::string read_until(std::string_view ending = {}) {
    std::string all;
    std::array<char, 4096> part;
    for (;;) {
      if (!ending.empty() && all.find(ending) != std::string::npos) return all;
      ::pollfd ready{fd_.get(), POLLIN, 0};
      REQUIRE(::poll(&ready, 1, 20'000) == 1);
      const auto got = ::recv(fd_.get(), part.data(), part.size(), 0);
      if (got <= 0) return all;  // a reset ends it as well as a close
      all.append(part.data(), static_cast<std::size_t>(got));
    }
  }

  void end_sending() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

 private:
  os::Fd fd_;
};

}  // namespace appserver::control
