// `appserverctl check FILE.so`: what does not fit, thing by thing, without running any code of it.
#include <catch2/catch.hpp>

#include "support/process.hpp"
#include "support/site.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr int kFits = 0;
constexpr int kFailed = 1;
constexpr int kDoesNotFit = 3;

Finished check(const fs::path& file) { return run({APPSERVER_CTL, "check", file.string()}); }

// The line that begins with the field and says BAD holds the text.
bool says_bad(const std::string& out, const std::string& field, const std::string& text) {
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = std::min(out.find('\n', at), out.size());
    const std::string line = out.substr(at, end - at);
    const bool bad = line.starts_with(field) && line.find(" BAD ") != std::string::npos;
    if (bad && line.find(text) != std::string::npos) return true;
    at = end + 1;
  }
  return false;
}

struct Bad {
  const char* file;
  const char* field;
  const char* text;
};

}  // namespace

TEST_CASE("check tells of a good plugin what it is, and that it fits") {
  const auto checked = check(probe_v2());
  INFO(checked.text());
  REQUIRE(checked.exit.code == kFits);
  for (const char* text : {"SHA-256", "build-id", "probe", "v2", "SDK", "fits appserverd ABI 1."}) {
    INFO(text);
    REQUIRE(checked.out.find(text) != std::string::npos);
  }
  REQUIRE(checked.out.find("BAD") == std::string::npos);
}

TEST_CASE("check names what is wrong with a bad plugin, and exits with 3") {
  const auto bad =
      GENERATE(Bad{"wrong_abi_major", "ABI", "2.0"}, Bad{"newer_abi_minor", "ABI", "1."},
               Bad{"no_note", "note", "not an appserverd plugin"},
               Bad{"no_symbol", "symbol", "appserver_plugin_v1"},
               Bad{"undefined_symbol", "symbol", "shop::"},
               Bad{"needs_absent_library", "library", "libappserver_absent.so"},
               Bad{"with_runpath", "run path", "/opt/shop/lib"});
  const auto checked = check(fixture(bad.file));
  INFO(checked.text());
  REQUIRE(checked.exit.code == kDoesNotFit);
  REQUIRE(says_bad(checked.out, bad.field, bad.text));
  REQUIRE(checked.out.find("does not fit: ") != std::string::npos);
}

TEST_CASE("check of what is no whole shared object exits with 3 and says so") {
  ScratchDir folder;
  const fs::path file = folder.path() / "shop.so";
  const std::string whole = read_whole(probe_v1());
  SECTION("a text") {
    write_file(file, "#!/bin/sh\necho I am no plugin\n");
    const auto checked = check(file);
    INFO(checked.text());
    REQUIRE(checked.exit.code == kDoesNotFit);
    REQUIRE(says_bad(checked.out, "content", "ELF"));
  }
  SECTION("nothing") {
    write_file(file, "");
    const auto checked = check(file);
    INFO(checked.text());
    REQUIRE(checked.exit.code == kDoesNotFit);
  }
  SECTION("half of one") {
    write_file(file, whole.substr(0, whole.size() / 2));
    const auto checked = check(file);
    INFO(checked.text());
    REQUIRE(checked.exit.code == kDoesNotFit);
    REQUIRE(says_bad(checked.out, "content", "cut short"));
  }
  SECTION("a program") {
    const auto checked = check(APPSERVER_DAEMON);
    INFO(checked.text());
    REQUIRE(checked.exit.code == kDoesNotFit);
  }
}

TEST_CASE("check of a plugin file that is not there fails and names it") {
  const auto checked = check("/nowhere/shop.so");
  INFO(checked.text());
  REQUIRE(checked.exit.code == kFailed);
  REQUIRE(checked.err.find("/nowhere/shop.so") != std::string::npos);
}

TEST_CASE("check runs no code of the plugin") {
  // Their code would be noticed: it kills whoever loads them.
  for (const char* name : {"crashes_in_static_init", "throws_in_static_init"}) {
    const auto checked = check(fixture(name));
    INFO(checked.text());
    REQUIRE(checked.exit.code == kFits);
  }
}
