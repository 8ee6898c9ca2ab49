// What a reload says of addresses that a group cannot have.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "site.hpp"
#include "supervisor/prepare.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using supervisor::Change;
namespace fs = std::filesystem;

TEST_CASE("a new group on the address of a group that has left it is refused until that is over") {
  Site site;
  site.start();
  site.write_groups({kJobs, "  new: {plugin: api.so, listen: 'http://127.0.0.1:18080'}\n"});
  CHECK_THAT(site.prepare(reload()).refusal,
             StartsWith("groups.new.listen: group api listens on http://127.0.0.1:18080"));
  site.write_groups({kJobs});
  site.roll(reload());
  site.write_groups({kJobs, "  new: {plugin: api.so, listen: 'http://127.0.0.1:18080'}\n"});
  CHECK(change_of(site.prepare(reload()), "new") == Change::add);
}

TEST_CASE("an address that overlaps with one that is open is refused until that is over") {
  Site site;
  site.start();
  const std::string open = " group api listens on http://127.0.0.1:18080";
  site.write_groups({kJobs, "  new: {plugin: api.so, listen: 'http://*:18080'}\n"});
  CHECK_THAT(site.prepare(reload()).refusal,
             StartsWith("groups.new.listen:" + open + ", which overlaps with http://*:18080,") &&
                 Contains("take it away there first"));
  for (const std::string listen : {"http://0.0.0.0:18080", "text://127.0.0.1:18080"}) {
    site.write_groups({kJobs, "  api: {plugin: api.so, listen: '" + listen + "'}\n"});
    CHECK_THAT(site.prepare(reload()).refusal,
               StartsWith("groups.api.listen:" + open + ", which overlaps with " + listen) &&
                   Contains("by way of another address"));
  }
  site.write_groups({kJobs, "  api: {plugin: api.so, listen: 'http://127.0.0.2:18080'}\n"});
  CHECK(site.prepare(reload()).refusal.empty());
}

TEST_CASE("a unix socket in a folder that is not there is refused, and no folder is made") {
  Site site;
  site.start();
  const auto api = [](const std::string& path) {
    return "  api: {plugin: api.so, listen: 'http://unix:" + path + "'}\n";
  };
  const fs::path folder = site.folder() / "rnu";
  site.write_groups({api("rnu/api.sock")});
  CHECK_THAT(site.prepare(reload()).refusal,
             StartsWith("groups.api.listen: there is no folder " + folder.native()) &&
                 Contains("mkdir -p " + folder.native()));
  CHECK_FALSE(fs::exists(folder));
  // A daemon that comes back runs what was committed, as after the refusal.
  const auto back = site.start();
  REQUIRE(back.notes.size() == 1);
  CHECK_THAT(back.notes.front(), StartsWith("api: groups.api.listen: there is no folder ") &&
                                     Contains("it runs as in release "));
  REQUIRE(back.groups.size() == 1);
  CHECK(back.groups.front()->config.listen.front().text == "http://127.0.0.1:18080");
  CHECK_FALSE(fs::exists(folder));
  fs::create_directory(folder);
  CHECK(site.prepare(reload()).refusal.empty());
  site.roll(reload());
  // A boot empties /run.
  fs::remove(folder);
  CHECK(site.start().notes.empty());
  CHECK(site.prepare(reload()).refusal.empty());
  // Also where the group has got another name since.
  fs::remove(folder);
  site.write_groups({"  web: {plugin: api.so, listen: 'http://unix:rnu/api.sock'}\n"});
  CHECK(site.start().notes.empty());
  // That of the control socket.
  site.write_groups({api("run/api.sock")});
  CHECK(site.prepare(reload()).refusal.empty());
}

TEST_CASE("a unix socket where none can be made is refused, with the address and the way out") {
  Site site;
  site.start();
  std::ofstream(site.folder() / "file") << "";
  site.write_groups({"  api: {plugin: api.so, listen: 'http://unix:file/api.sock'}\n"});
  const std::string file = (site.folder() / "file").native();
  CHECK_THAT(site.prepare(reload()).refusal,
             StartsWith("groups.api.listen: " + file + " is no folder; ") &&
                 Contains("for http://unix:" + file + "/api.sock; or correct the address"));
  site.write_groups({"  api: {plugin: api.so, listen: 'http://unix:file/below/api.sock'}\n"});
  CHECK_THAT(site.prepare(reload()).refusal,
             StartsWith("groups.api.listen: the folder " + file + "/below cannot be looked at: ") &&
                 Contains("Not a directory"));
  site.write_groups({"  api: {plugin: api.so, listen: 'http://unix:/proc/self/api.sock'}\n"});
  CHECK_THAT(site.prepare(reload()).refusal, StartsWith("groups.api.listen: uid ") &&
                                                 Contains(" can make no socket in the folder "));
}

TEST_CASE("an address of a group that is not reloadable is freed by a reload with --force") {
  Site site;
  site.write_groups(
      {"  api: {plugin: api.so, listen: 'http://127.0.0.1:18080', reloadable: false}\n"});
  site.start();
  site.write_groups({"  new: {plugin: api.so, listen: 'http://127.0.0.1:18080'}\n"});
  CHECK_THAT(site.prepare(reload()).refusal, Contains("`appserverctl reload --force api`"));
}

TEST_CASE("groups that listen on any free port do not get in each other's way") {
  const char* const first = "  api: {plugin: api.so, listen: 'http://127.0.0.1:0'}\n";
  Site site({first});
  site.start();
  site.write_groups({first, "  new: {plugin: api.so, listen: 'http://127.0.0.1:0'}\n"});
  CHECK(site.prepare(reload()).refusal.empty());
}
