#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "appserverctl/run.hpp"

using namespace appserver::appserverctl;

namespace {

const std::string kFixtures = APPSERVER_FIXTURES;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

Outcome check(const std::string& file) {
  std::ostringstream out;
  std::ostringstream err;
  const Console console{
      out, err, [](const std::string&) -> std::optional<std::string> { return std::nullopt; }};
  const int code = run({"check", file}, console);
  return {code, out.str(), err.str()};
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("check lists what a plugin file is and says that it fits") {
  const std::string file = kFixtures + "/answers.so";
  const auto outcome = check(file);
  CHECK(outcome.code == 0);
  CHECK(outcome.err.empty());
  CHECK(has_line(outcome.out, "kind         ok   shared object"));
  CHECK(has_line(outcome.out, "name         ok   answers"));
  CHECK(has_line(outcome.out, "version           1.0.0"));
  CHECK(outcome.out.ends_with(file + ": fits appserverd ABI 1.1\n"));
}

TEST_CASE("check says of a plugin file what does not fit and what to do, and exits with 3") {
  const std::string file = kFixtures + "/newer_abi_minor.so";
  const auto outcome = check(file);
  CHECK(outcome.code == 3);
  CHECK(has_line(outcome.out,
                 "ABI          BAD  built for ABI 1.999, newer than the 1.1 of this appserverd\n"
                 "                  update appserverd, or build the plugin with the SDK of this "
                 "one"));
  CHECK(outcome.out.ends_with(file + ": does not fit: 1 problem\n"));
  CHECK(check(kFixtures + "/needs_absent_library.so").out.ends_with("does not fit: 2 problems\n"));
}

TEST_CASE("check knows a plugin by its name or its first bytes") {
  std::string folder = std::filesystem::temp_directory_path() / "check-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  std::filesystem::copy_file(kFixtures + "/answers.so", folder + "/answers.so.1");
  std::ofstream(folder + "/text.so") << "groups: {}\n";
  CHECK(check(folder + "/answers.so.1").code == 0);
  CHECK(check(folder + "/text.so").code == 3);
  CHECK(check(folder + "/text.so").out.find("not an ELF shared object") != std::string::npos);
  const auto absent = check(folder + "/absent.so");
  CHECK(absent.code == 1);
  CHECK(absent.err.find("No such file or directory") != std::string::npos);
  std::filesystem::remove_all(folder);
}
