#include "os/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "os/fd.hpp"

using namespace appserver;

namespace {

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("the service manager is told on its socket") {
  const os::Fd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  REQUIRE(manager);
  // An abstract address leaves no file behind.
  const std::string name = "appserver-notify-test-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  REQUIRE(::bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
  const Environment environment("NOTIFY_SOCKET", "@" + name);
  CHECK(os::notify_service_manager("READY=1"));
  std::array<char, 100> buffer{};
  const auto got = ::recv(manager.get(), buffer.data(), buffer.size(), 0);
  REQUIRE(got > 0);
  CHECK(std::string(buffer.data(), static_cast<std::size_t>(got)) == "READY=1");
}

TEST_CASE("a manager that cannot be told is reported") {
  const Environment environment("NOTIFY_SOCKET", "@appserver-notify-test-nobody");
  CHECK_FALSE(os::notify_service_manager("READY=1"));
}

TEST_CASE("the watchdog's interval is the one the manager gave to this process") {
  CHECK_FALSE(os::watchdog_interval());
  const Environment interval("WATCHDOG_USEC", "5000000");
  CHECK(os::watchdog_interval() == std::chrono::seconds(5));
  const Environment other("WATCHDOG_PID", "1");
  CHECK_FALSE(os::watchdog_interval());
}
