#include <fmt/format.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>

#include "fake_daemon.hpp"

using namespace appserver;

namespace {

// The output and the exit code of the program itself.
std::pair<std::string, int> appserverctl(const std::string& arguments) {
  std::FILE* const pipe =
      ::popen(fmt::format("'{}' {} 2>&1", APPSERVERCTL, arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (int byte = std::fgetc(pipe); byte != EOF; byte = std::fgetc(pipe))
    output += static_cast<char>(byte);
  const int status = ::pclose(pipe);
  REQUIRE(WIFEXITED(status));
  return {output, WEXITSTATUS(status)};
}

}  // namespace

TEST_CASE("the program passes its arguments in and its exit code out") {
  control::FakeDaemon daemon;
  daemon.on_loop([&] {
    daemon.commands.on_reload = [](const auto&, const auto& events) {
      events->send(
          control::done_event(control::RolloutResult::rolled_back, "the new build did not start"));
    };
  });
  const auto [output, code] =
      appserverctl(fmt::format("--socket {} reload", daemon.socket().native()));
  REQUIRE(output == "ROLLED BACK, the old build serves: the new build did not start\n");
  REQUIRE(code == 4);
  REQUIRE(appserverctl("frobnicate").second == 2);
  REQUIRE(appserverctl("status --socket /nowhere/x.sock").second == 8);
  REQUIRE(appserverctl("help").second == 0);
}

TEST_CASE("the program sees APPSERVER_SOCKET") {
  control::FakeDaemon daemon;
  REQUIRE(::setenv("APPSERVER_SOCKET", daemon.socket().c_str(), 1) == 0);
  const auto [output, code] = appserverctl("version");
  ::unsetenv("APPSERVER_SOCKET");
  REQUIRE(code == 0);
  REQUIRE_THAT(output, Catch::Contains("appserverd 1.2.3"));
}
