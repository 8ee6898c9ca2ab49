// Groups of the plugin folder: what starts, what stays and what ends, whatever becomes of their
// files.
#include <catch2/catch.hpp>

#include "site.hpp"

using namespace appserver;
using namespace appserver::supervisor::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using supervisor::Change;
using supervisor::FirstRelease;
using supervisor::Prepared;
namespace fs = std::filesystem;

namespace {

// A site with group api of the file and group shop of the folder.
struct DropSite : Site {
  DropSite() : Site({kApi}) {
    write_watching(kApi);
    drop("shop", kTwo, "count: 2\n");
  }
  fs::path plugins() const { return folder() / "plugins"; }
  void describe(const std::string& text) const { write(plugins() / "shop.yaml", text); }
};

constexpr const char* kOfTheFolder = "  api: {plugin: shop, count: 2}\n";

std::string only_note(const std::vector<std::string>& notes) {
  REQUIRE(notes.size() == 1);
  return notes.front();
}

}  // namespace

TEST_CASE("a first start runs what was dropped, and leaves out what is no good") {
  DropSite site;
  site.drop("bad", kOne, "count: many\n");
  site.drop("worse", kOne, "");
  write(site.plugins() / "worse.so", "garbage");
  write(site.plugins() / "alone.yaml", "nonsense: true\n");
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  REQUIRE(first.groups.size() == 2);
  CHECK(first.groups[1]->config.name == "shop");
  CHECK(first.groups[1]->config.dropped);
  CHECK_THAT(only_note(first.folder_notes), StartsWith("bad: ") && Contains("bad.yaml:1:8: "));
  CHECK_THAT(only_note(first.notes), StartsWith("worse: ") && Contains("it is left out"));
}

TEST_CASE("what was dropped starts as it was committed, whatever became of its files") {
  DropSite site;
  site.start();
  std::string said;
  SECTION("a mistake") {
    site.describe("count: many\n");
    said = "shop.yaml:1:8: ";
  }
  SECTION("no description") {
    fs::remove(site.plugins() / "shop.yaml");
    said = "`appserverctl reload shop` ends it";
  }
  SECTION("an empty folder, as one that is not mounted") {
    fs::remove_all(site.plugins());
    fs::create_directory(site.plugins());
    said = "`appserverctl reload shop` ends it";
  }
  SECTION("no plugin") {
    fs::remove(site.plugins() / "shop.so");
    said = "its shop.so is gone from";
  }
  SECTION("no folder") {
    fs::remove_all(site.plugins());
    said = "which is missing; it runs on";
  }
  SECTION("a folder that cannot be read") {
    fs::remove_all(site.plugins());
    write(site.plugins(), "a file");
    said = "which cannot be read: Not a directory; it runs on";
  }
  SECTION("a name that the file has taken") {
    site.drop("api", kTwo, "");
    fs::remove(site.plugins() / "shop.yaml");
    const FirstRelease first = site.start();
    CHECK(first.folder_notes.size() == 2);
    CHECK(site.running_sha("api") == sha_of(kOne));
    return;
  }
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  CHECK(site.running_sha("shop") == sha_of(kTwo));
  CHECK(site.find("shop")->config.count == 2);
  CHECK_THAT(only_note(first.folder_notes), StartsWith("shop: ") && Contains(said));
  CHECK(first.notes.empty());
}

TEST_CASE("what is new in the folder waits for the rollout after the start") {
  DropSite site;
  site.start();
  site.describe("count: 3\n");
  site.drop("more", kThree, "");
  const FirstRelease first = site.start();
  CHECK(first.number == 1);
  CHECK(first.folder_notes.empty());
  CHECK_FALSE(site.find("more"));
  const Prepared prepared = site.prepare(watched());
  CHECK(change_of(prepared, "more") == Change::add);
  CHECK(change_of(prepared, "shop") == Change::resize);
}

TEST_CASE("a count that was set by scale stays with a dropped group over a changed file") {
  DropSite site;
  site.start();
  site.roll(scale("shop", 5));
  site.write_watching("  api: {plugin: api.so, settings: {colour: green}}\n");
  CHECK(site.start().number == 3);
  CHECK(site.find("shop")->config.count == 5);
  CHECK(site.find("shop")->file_count == 2);
  CHECK(site.find("api")->config.settings == R"({"colour":"green"})");
  CHECK(site.start().number == 3);
}

TEST_CASE("what was rolled back in the file stays so, whatever happens in the folder") {
  DropSite site;
  site.start();
  site.write_watching("  api: {plugin: api.so, settings: {colour: green}}\n");
  site.roll(reload_changed());
  site.roll(rollback());
  fs::remove_all(site.plugins());
  CHECK(site.start().number == 3);
  CHECK(site.find("api")->config.settings == "{}");
}

TEST_CASE("what was dropped gives way at a start to a group of the file with its name or address") {
  DropSite site;
  site.drop("more", kThree, "listen: http://127.0.0.1:18081\n");
  site.start();
  site.write_watching("  shop: {plugin: api.so}\n" +
                      std::string("  api: {plugin: api.so, listen: 'http://127.0.0.1:18081'}\n"));
  const FirstRelease first = site.start();
  REQUIRE(first.groups.size() == 2);
  CHECK_FALSE(site.find("shop")->config.dropped);
  CHECK_FALSE(site.find("more"));
  REQUIRE_FALSE(first.notes.empty());
  CHECK_THAT(first.notes.front(), StartsWith("more: it is left out") && Contains("group api"));
}

TEST_CASE("a folder that is no longer watched ends its groups at the next start") {
  DropSite site;
  site.start();
  site.write_groups({kApi});
  CHECK(site.start().number == 2);
  CHECK_FALSE(site.find("shop"));
}

TEST_CASE("the watcher ends what was seen to be taken away, a person whatever is gone") {
  DropSite site;
  site.drop("more", kThree, "");
  site.start();
  fs::remove(site.plugins() / "shop.yaml");
  site.put("plugins/more.so", kFour);
  const Prepared unseen = site.prepare(watched({"more"}));
  CHECK(change_of(unseen, "shop") == Change::keep);
  CHECK(plan_of(unseen, "shop").notable);
  CHECK_THAT(plan_of(unseen, "shop").note,
             Contains("its shop.yaml is not in") && Contains("`appserverctl reload shop` ends it"));
  CHECK(change_of(unseen, "more") == Change::roll);
  for (const auto& request : {watched({"shop"}), reload({"shop"}), reload_changed()})
    CHECK(change_of(site.prepare(request), "shop") == Change::remove);
}

TEST_CASE("a group of the file is ended by a person only") {
  DropSite site;
  site.start();
  site.write_watching("");
  CHECK(change_of(site.prepare(watched()), "api") == Change::keep);
  CHECK(change_of(site.prepare(reload_changed()), "api") == Change::remove);
}

TEST_CASE("a dropped group ends only when its description goes") {
  DropSite site;
  site.start();
  fs::remove(site.plugins() / "shop.so");
  for (const auto& request : {watched(), reload(), reload({"shop"})}) {
    const Prepared prepared = site.prepare(request);
    CHECK(prepared.refusal.empty());
    CHECK(change_of(prepared, "shop") == Change::keep);
    CHECK(plan_of(prepared, "shop").notable);
    CHECK_THAT(plan_of(prepared, "shop").note,
               StartsWith("its shop.so is gone from " + site.plugins().native()));
  }
  CHECK_FALSE(plan_of(site.prepare(reload({"api"})), "shop").notable);
  fs::remove(site.plugins() / "shop.yaml");
  CHECK(change_of(site.prepare(watched({"shop"})), "shop") == Change::remove);
}

TEST_CASE("a folder that is missing in a reload ends no group") {
  DropSite site;
  site.start();
  fs::remove_all(site.plugins());
  for (const auto& request : {watched(), reload(), reload({"shop"})}) {
    const Prepared prepared = site.prepare(request);
    CHECK(prepared.refusal.empty());
    CHECK(change_of(prepared, "shop") == Change::keep);
    CHECK_THAT(plan_of(prepared, "shop").note, Contains("which is missing; it runs on"));
  }
}

TEST_CASE(
    "the watcher takes in the rest where one description has a mistake; a person is refused") {
  DropSite site;
  site.start();
  site.describe("count: many\n");
  site.drop("more", kThree, "");
  site.drop("bad", kOne, "colour: red\n");
  const Prepared prepared = site.prepare(watched());
  CHECK(prepared.refusal.empty());
  CHECK(change_of(prepared, "more") == Change::add);
  CHECK(change_of(prepared, "shop") == Change::keep);
  CHECK_THAT(plan_of(prepared, "shop").note, Contains("shop.yaml:1:8: "));
  CHECK(plan_of(prepared, "shop").notable);
  CHECK_THAT(plan_of(prepared, "bad").note, Contains("bad.yaml:1:1: "));
  CHECK_THAT(site.prepare(reload()).refusal,
             Contains("shop.yaml:1:8: ") && Contains("bad.yaml:1:1: "));
}

TEST_CASE("a description of a name that the file has taken is said at the group of the file") {
  DropSite site;
  site.start();
  site.drop("api", kTwo, "");
  const Prepared prepared = site.prepare(watched());
  CHECK(prepared.plan.size() == 2);
  CHECK(plan_of(prepared, "api").change == Change::keep);
  CHECK_THAT(plan_of(prepared, "api").note, Contains("group 'api' is defined twice"));
  CHECK(plan_of(prepared, "api").notable);
}

TEST_CASE("a dropped group that cannot run as it says does not hold up the others") {
  DropSite site;
  site.start();
  site.put("api.so", kThree);
  SECTION("as a user that there is not") { site.drop("more", kOne, "user: no-such-user-here\n"); }
  SECTION("at an address that is not free yet") {
    site.write_watching("  api: {plugin: api.so, count: 2}\n");
    site.drop("more", kOne, "listen: http://127.0.0.1:18080\n");
  }
  const Prepared prepared = site.prepare(watched());
  CHECK(prepared.refusal.empty());
  CHECK(change_of(prepared, "api") == Change::roll);
  CHECK(change_of(prepared, "more") == Change::keep);
  CHECK(plan_of(prepared, "more").notable);
  CHECK_FALSE(site.prepare(reload()).refusal.empty());
}

TEST_CASE("a plugin of the file that is no good keeps only its own group from a changed file") {
  Site site;
  site.start();
  site.write_groups({"  new: {plugin: new.so}\n", "  api: {plugin: new.so}\n", kJobs});
  const FirstRelease first = site.start();
  CHECK(first.number == 2);
  CHECK_FALSE(site.find("new"));
  CHECK(site.running_sha("api") == sha_of(kOne));
  CHECK(site.find("api")->config.plugin == site.folder() / "api.so");
  REQUIRE(first.notes.size() >= 2);
  CHECK_THAT(first.notes[0], StartsWith("new: groups.new.plugin: ") && Contains("is left out"));
  CHECK_THAT(first.notes[1], StartsWith("api: ") && Contains("it runs as in release 1"));
}

TEST_CASE("a group whose plugin is no good gives way where its old address is another's by now") {
  Site site({"  a: {plugin: api.so, listen: 'http://127.0.0.1:18731'}\n",
             "  b: {plugin: jobs.so, listen: 'http://127.0.0.1:18732'}\n"});
  site.start();
  SECTION("of a group that is fine") {
    site.write_groups({"  a: {plugin: new.so, listen: 'http://127.0.0.1:18733'}\n",
                       "  b: {plugin: jobs.so, listen: 'http://127.0.0.1:18731'}\n"});
    const FirstRelease first = site.start();
    CHECK_FALSE(site.find("a"));
    REQUIRE(site.find("b"));
    CHECK(site.find("b")->config.listen.front().port == 18731);
    REQUIRE_FALSE(first.notes.empty());
    CHECK_THAT(first.notes[0],
               StartsWith("a: groups.a.plugin: ") &&
                   Contains("it is left out, as in release 1 it listens where group b does now"));
  }
  SECTION("but not of one that runs as before itself") {
    site.write_groups({"  a: {plugin: new.so, listen: 'http://127.0.0.1:18733'}\n",
                       "  b: {plugin: new.so, listen: 'http://127.0.0.1:18731'}\n"});
    site.start();
    REQUIRE(site.find("a"));
    CHECK(site.find("a")->config.listen.front().port == 18731);
    REQUIRE(site.find("b"));
    CHECK(site.find("b")->config.listen.front().port == 18732);
  }
}

TEST_CASE("nothing is taken from a watched folder that others may write to, with the way out") {
  DropSite site;
  site.start();
  site.drop("evil", kThree, "");
  site.put("plugins/shop.so", kFour);
  site.describe("count: 9\n");
  site.allow_others_to_write(true);
  const auto before = contents(site.folder() / "state");
  for (const auto& request : {reload(), reload({"shop"}), reload({"api"}), reload_changed(),
                              forced("shop"), watched(), watched({"shop"})}) {
    const Prepared prepared = site.prepare(request);
    CHECK(prepared.plan.empty());
    CHECK_THAT(prepared.refusal,
               Contains("(mode 0777)") && Contains("chmod go-w " + site.plugins().native()));
  }
  CHECK(contents(site.folder() / "state") == before);
  CHECK(site.prepare(scale("shop", 3)).refusal.empty());

  CHECK(site.start().number == 1);
  CHECK(site.running_sha("shop") == sha_of(kTwo));
  CHECK(site.find("shop")->config.count == 2);
  CHECK_FALSE(site.find("evil"));

  site.allow_others_to_write(false);
  const Prepared prepared = site.prepare(reload());
  CHECK(change_of(prepared, "evil") == Change::add);
  CHECK(change_of(prepared, "shop") == Change::roll);
}

TEST_CASE("nothing is taken from a watched folder of another user, with the way out") {
  if (::geteuid() != 0) {
    WARN("not root: nothing can be given to another user");
    return;
  }
  DropSite site;
  site.start();
  os::check(::chown(site.plugins().c_str(), 12345, 0), "chown(plugins)");
  CHECK_THAT(site.prepare(reload()).refusal,
             Contains("belongs to uid 12345") && Contains("chown 0 " + site.plugins().native()));
}

TEST_CASE("a file of a watched folder that others may write to holds its group back") {
  const std::string name = GENERATE(as<std::string>{}, "shop.so", "shop.yaml");
  DropSite site;
  site.start();
  site.put("plugins/shop.so", kFour);
  site.drop("more", kThree, "");
  const fs::path file = site.plugins() / name;
  fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  const Prepared watching = site.prepare(watched());
  CHECK(watching.refusal.empty());
  CHECK(change_of(watching, "shop") == Change::keep);
  CHECK(change_of(watching, "more") == Change::add);
  CHECK_THAT(site.prepare(reload({"shop"})).refusal,
             Contains("the file " + file.native()) && Contains("chmod go-w " + file.native()));
  fs::permissions(file, fs::perms::others_write, fs::perm_options::remove);
  CHECK(change_of(site.prepare(reload()), "shop") == Change::roll);
}

TEST_CASE("what a watched folder links to is its own, too") {
  DropSite site;
  fs::remove(site.plugins() / "shop.yaml");
  fs::create_symlink(site.plugins() / "shop.so", site.folder() / "link.so");
  site.write_watching("  api: {plugin: link.so}\n");
  site.allow_others_to_write(true);
  CHECK_THROWS_WITH(site.start(), Contains("chmod go-w " + site.plugins().native()));
}

TEST_CASE("a first start takes nothing from a watched folder that others may write to") {
  DropSite site;
  site.allow_others_to_write(true);
  SECTION("what was dropped is left out") {
    const FirstRelease first = site.start();
    REQUIRE(first.groups.size() == 1);
    CHECK(first.groups[0]->config.name == "api");
    CHECK_THAT(only_note(first.notes),
               StartsWith("shop: ") && Contains("chmod go-w") && Contains("it is left out"));
  }
  SECTION("a group of the file is a mistake") {
    fs::remove(site.plugins() / "shop.yaml");
    site.write_watching(kOfTheFolder);
    CHECK_THROWS_WITH(site.start(), StartsWith("groups.api.plugin: the plugin folder ") &&
                                        Contains("chmod go-w " + site.plugins().native()));
  }
  SECTION("a group of the file, of a folder in it") {
    fs::create_directory(site.plugins() / "versions");
    site.put("plugins/versions/1.so", kOne);
    site.write_watching("  api: {plugin: plugins/versions/1.so}\n");
    CHECK_THROWS_WITH(site.start(), Contains("chmod go-w " + site.plugins().native()));
  }
}

TEST_CASE("a build that the store has lost is not taken from where others may write") {
  DropSite site;
  fs::remove(site.plugins() / "shop.yaml");
  site.write_watching(kOfTheFolder);
  site.start();
  site.lose(kTwo);
  site.put("plugins/shop.so", kFour);
  site.allow_others_to_write(true);
  CHECK_THROWS_WITH(site.start(), Contains("chmod go-w") && Contains("missing from the store"));
}

TEST_CASE("a folder that is not watched is its owner's own affair") {
  DropSite site;
  fs::remove(site.plugins() / "shop.yaml");
  site.write_file(std::string("groups:\n") + kOfTheFolder);
  site.allow_others_to_write(true);
  CHECK(site.start().notes.empty());
  CHECK(site.prepare(reload()).refusal.empty());
}
