#include "supervisor/prepare.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/load.hpp"

using namespace appserver;
using Catch::Matchers::Contains;
using supervisor::Prepared;
using supervisor::PrepareRequest;
namespace fs = std::filesystem;

namespace {

constexpr const char* kFile = R"(
groups:
  api:
    plugin: answers.so
    listen: http://127.0.0.1:18080
    count: 2
  jobs:
    plugin: answers.so
)";

// A folder with a configuration that "runs", and the plugin that it names.
class Running {
 public:
  Running() {
    std::string name = fs::temp_directory_path() / "prepare-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::copy_file(fs::path(APPSERVER_FIXTURES) / "answers.so", folder_ / "answers.so");
    write(kFile);
    running_ = config::load_file(folder_ / "app.yaml");
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  void write(const std::string& text) {
    std::ofstream(folder_ / "app.yaml", std::ios::trunc) << text;
  }

  void replace(const std::string& what, const std::string& by) {
    std::string text = kFile;
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    write(text.replace(at, what.size(), by));
  }

  Prepared prepare(std::vector<std::string> groups = {"api", "jobs"}) {
    plugin::Store store(folder_ / "store");
    return supervisor::prepare({running_, std::move(groups), 7}, store);
  }

  const fs::path& folder() const { return folder_; }
  config::Config& running() { return running_; }

 private:
  fs::path folder_;
  config::Config running_;
};

}  // namespace

TEST_CASE(
    "an unchanged file gives the same configuration and a stored build for each group asked for") {
  Running running;
  const Prepared prepared = running.prepare({"api"});
  CHECK(prepared.refusal.empty());
  CHECK(prepared.configs.size() == 2);
  CHECK(prepared.configs.at("api") == running.running().groups.front());
  REQUIRE(prepared.releases.size() == 1);
  const supervisor::Release& release = *prepared.releases.at("api");
  CHECK(release.number == 7);
  CHECK(release.config.name == "api");
  CHECK(release.build.name == "answers");
  CHECK(fs::exists(release.build.file));
  CHECK(release.build.file != running.folder() / "answers.so");
}

TEST_CASE("settings may change under way, and come with the release") {
  Running running;
  running.replace("count: 2", "count: 2\n    settings: {colour: green}\n    reload: {surge: 2}");
  const Prepared prepared = running.prepare();
  CHECK(prepared.refusal.empty());
  CHECK(prepared.releases.at("api")->config.settings == R"({"colour":"green"})");
  CHECK(prepared.releases.at("api")->config.reload.surge == 2);
}

TEST_CASE("a file that is bad or gone is a refusal with file and line") {
  Running running;
  SECTION("bad") {
    running.replace("count: 2", "cuont: 2");
    CHECK_THAT(running.prepare().refusal, Contains("app.yaml:6:5") && Contains("cuont"));
  }
  SECTION("gone") {
    fs::remove(running.folder() / "app.yaml");
    CHECK_THAT(running.prepare().refusal, Contains("app.yaml"));
  }
}

TEST_CASE(
    "what a running daemon cannot take over is refused, each by its name, and nothing is stored") {
  Running running;
  std::vector<std::string> names;
  SECTION("the number of workers") {
    running.replace("count: 2", "count: 3");
    names = {"groups.api.count has changed from 2 to 3"};
  }
  SECTION("an address") {
    running.replace("18080", "18081");
    names = {"groups.api.listen"};
  }
  SECTION("the daemon's own") {
    running.replace("groups:", "daemon: {log: {level: debug}}\ngroups:");
    names = {"`daemon:`"};
  }
  SECTION("a group more") {
    running.replace("groups:", "groups:\n  new: {plugin: answers.so}");
    names = {"groups.new is new"};
  }
  SECTION("several at once") {
    running.write(
        "groups: {api: {plugin: answers.so, listen: 'http://127.0.0.1:18081', count: 3}, web: "
        "{plugin: answers.so}}");
    names = {"groups.api.count", "groups.api.listen", "groups.jobs is gone", "groups.web is new"};
  }
  const Prepared prepared = running.prepare();
  for (const auto& name : names) CHECK_THAT(prepared.refusal, Contains(name));
  CHECK(static_cast<std::size_t>(std::ranges::count(prepared.refusal, '\n')) + 1 == names.size());
  CHECK(prepared.releases.empty());
}

TEST_CASE("a plugin that cannot be taken in is refused by its group's name") {
  Running running;
  fs::copy_file(fs::path(APPSERVER_FIXTURES) / "no_note.so", running.folder() / "answers.so",
                fs::copy_options::overwrite_existing);
  const Prepared prepared = running.prepare();
  CHECK_THAT(prepared.refusal, Contains("groups.api.plugin: ") &&
                                   Contains("\ngroups.jobs.plugin: ") && Contains("answers.so"));
  CHECK(prepared.releases.empty());
  fs::remove(running.folder() / "answers.so");
  CHECK_THAT(running.prepare({"jobs"}).refusal,
             Contains("groups.jobs.plugin: ") && Contains("answers.so"));
}

TEST_CASE("without a file the running configuration is taken") {
  Running running;
  running.running().file.clear();
  fs::remove(running.folder() / "app.yaml");
  const Prepared prepared = running.prepare();
  CHECK(prepared.refusal.empty());
  CHECK(prepared.releases.size() == 2);
}
