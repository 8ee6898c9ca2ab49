#include "config/dropped.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

constexpr std::string_view kWatching = "daemon: {plugins: {watch: true}}\n";

// A main file that watches `plugins`, and the pair of `name` in there.
class DropFolder : public TemporaryFolder {
 public:
  explicit DropFolder(std::string_view more = "") {
    write("app.yaml", std::string(kWatching).append(more));
  }

  void drop(const std::string& name, std::string_view description) const {
    write("plugins/" + name + ".so", "");
    write("plugins/" + name + ".yaml", description);
  }
  std::filesystem::path file() const { return path() / "app.yaml"; }
  Config load() const { return load_file(file(), environment_of({{"PORT", "81"}})); }
  // As a daemon does that is not to be harmed by what was dropped.
  Config load_what_is_good() const {
    return load_file(file(), environment_of({}), DroppedMistakes::are_left_out);
  }
  // What of that is left out, without this folder.
  Lines left_out() const {
    Lines lines;
    for (const auto& [name, text] : load_what_is_good().left_out.mistakes)
      lines.push_back(name + " " + without_folder(text));
    return lines;
  }
  Lines problems() const { return problems_of("app.yaml"); }

  Lines names() const { return names_of(load()); }

  static Lines names_of(const Config& config) {
    Lines names;
    for (const Group& group : config.groups) names.push_back(group.name);
    return names;
  }
};

}  // namespace

TEST_CASE("a plugin with a description beside it is a group, with the plugin as its own") {
  const DropFolder folder;
  folder.drop("api",
              "listen: [\"http://*:${PORT}\", http://unix:run/api.sock]\n"
              "count: 3\n"
              "working_directory: data\n"
              "reload: {canary: {slots: 1}}\n");
  const Config config = folder.load();
  REQUIRE(config.groups.size() == 1);
  const Group& group = config.groups[0];
  CHECK(group.name == "api");
  CHECK(group.plugin == folder.path() / "plugins/api.so");
  CHECK(group.count == 3);
  CHECK(group.reload.canary.slots == 1);
  CHECK(group.listen.at(0).text == "http://*:81");
  CHECK(group.listen.at(1).unix_path == folder.path() / "plugins/run/api.sock");
  CHECK(group.working_directory == folder.path() / "plugins/data");
}

TEST_CASE("an empty description is a group of defaults") {
  const DropFolder folder;
  folder.drop("api", "");
  Group expected;
  expected.name = "api";
  expected.plugin = folder.path() / "plugins/api.so";
  expected.dropped = true;
  REQUIRE(folder.load().groups.size() == 1);
  CHECK(folder.load().groups[0] == expected);
}

TEST_CASE("dropped groups follow those of the files, by name") {
  const DropFolder folder("include: conf.d/*.yaml\ngroups: {z: {plugin: p}}\n");
  folder.write("conf.d/a.yaml", "groups: {y: {plugin: p}}");
  folder.drop("c", "");
  folder.drop("a", "");
  folder.drop("b", "");
  CHECK(folder.names() == Lines{"z", "y", "a", "b", "c"});
}

TEST_CASE("half a pair, a hidden file and any other file are no group") {
  const DropFolder folder;
  folder.drop("api", "");
  folder.drop(".hidden", "");
  folder.write("plugins/alone.so", "");
  folder.write("plugins/lonely.yaml", "nonsense: true\n");
  folder.write("plugins/api.yaml~", "");
  folder.write("plugins/readme.txt", "");
  CHECK(folder.names() == Lines{"api"});
  CHECK(folder.load().left_out.without_plugin == Lines{"lonely"});
  CHECK(folder.load_what_is_good().left_out.mistakes.empty());
}

TEST_CASE("groups of the files are no dropped ones, and a record tells them apart") {
  const DropFolder folder("groups: {own: {plugin: p}}\n");
  folder.drop("api", "");
  const Config config = folder.load();
  REQUIRE(config.groups.size() == 2);
  CHECK_FALSE(config.groups[0].dropped);
  CHECK(config.groups[1].dropped);
  CHECK(dump(config).find("  api:  # dropped into the plugin folder\n") != std::string::npos);
}

TEST_CASE("mistakes in dropped files can be left out, each named with its place, and the rest is") {
  const DropFolder folder("groups:\n  own: {plugin: p, listen: 'http://*:80'}\n");
  folder.drop("a", "cuont: 2\n");
  folder.drop("b", "listen: ${UNSET}\ncount: 0\n");
  folder.drop("c", "x: [\n");
  folder.drop("d", "listen: http://*:80\n");
  folder.drop("good", "listen: http://*:82\n");
  folder.drop("own", "");
  folder.drop("z", "listen: http://*:82\n");
  std::filesystem::create_directory(folder.path() / "plugins/e.yaml");
  folder.write("plugins/e.so", "");
  CHECK(DropFolder::names_of(folder.load_what_is_good()) == Lines{"own", "good"});
  const Lines lines = folder.left_out();
  REQUIRE(lines.size() == 7);
  CHECK(lines[0] == "a plugins/a.yaml:1:1: unknown key 'cuont' in groups.a; did you mean 'count'?");
  CHECK(lines[1].find("b plugins/b.yaml:1:9: ") == 0);
  CHECK(lines[1].find(" (and 1 more)") != std::string::npos);
  CHECK(lines[2].find("c plugins/c.yaml:2:1: not valid YAML: ") == 0);
  CHECK(lines[3] ==
        "d plugins/d.yaml:1:9: groups.d: http://*:80 is listened on twice; first by groups.own at "
        "app.yaml:3:28");
  CHECK(lines[4] == "e plugins/e.yaml: a directory, not a configuration file");
  CHECK(lines[5] == "own plugins/own.yaml: group 'own' is defined twice; first at app.yaml:3:3");
  CHECK(lines[6].find("z plugins/z.yaml:1:9: ") == 0);
}

TEST_CASE("groups over the most there may be are left out one by one, and are not unknown") {
  std::string groups = "groups:\n";
  for (int i = 0; i < 1023; ++i) groups += "  g" + std::to_string(i) + ": {plugin: p}\n";
  const DropFolder folder(groups);
  for (const char* name : {"x", "y", "z"}) folder.drop(name, "");
  CHECK(folder.left_out() == Lines{"y plugins/y.yaml: more than 1024 groups",
                                   "z plugins/z.yaml: more than 1024 groups"});
}

TEST_CASE("a mistake in the main file is an error, whatever becomes of those in dropped ones") {
  const DropFolder folder("groups: {own: {plugin: p, count: 0}}\n");
  folder.drop("a", "cuont: 2\n");
  CHECK_THROWS_AS(folder.load_what_is_good(), ConfigError);
}

TEST_CASE("a folder of which nothing is known says why") {
  const DropFolder folder;
  CHECK(folder.load().left_out.folder == "is missing");
  CHECK(folder.load_what_is_good().left_out.folder == "is missing");
  folder.write("plugins", "a file");
  CHECK(folder.load_what_is_good().left_out.folder == "cannot be read: Not a directory");
  std::filesystem::remove(folder.path() / "plugins");
  folder.drop("api", "");
  CHECK(folder.load().left_out.folder.empty());
}

TEST_CASE("nothing dropped is looked at where the folder is not watched") {
  const DropFolder folder;
  folder.write("app.yaml", "groups: {own: {plugin: p}}\n");
  folder.drop("api", "nonsense: true\n");
  CHECK(folder.names() == Lines{"own"});
}

TEST_CASE("a watched folder may be empty or missing, and no groups at all are a configuration") {
  const DropFolder folder;
  CHECK(folder.names().empty());
  std::filesystem::create_directory(folder.path() / "plugins");
  CHECK(folder.names().empty());
  folder.write("app.yaml", std::string(kWatching) + "groups: {}\n");
  CHECK(folder.names().empty());
}

TEST_CASE("a watched folder that cannot be read is refused where it is said") {
  const DropFolder folder;
  folder.write("plugins", "a file");
  CHECK(folder.problems() ==
        Lines{"app.yaml: daemon.plugins.dir: plugins cannot be read: Not a directory"});
  folder.write("app.yaml", "daemon: {plugins: {watch: true, dir: plugins/x}}\n");
  CHECK(folder.problems() ==
        Lines{"app.yaml:1:38: daemon.plugins.dir: plugins/x cannot be read: Not a directory"});
}

TEST_CASE("a dropped description does not say its plugin") {
  const DropFolder folder;
  folder.drop("api", "count: 2\nplugin: other\n");
  CHECK(folder.problems() == Lines{"plugins/api.yaml:2:1: groups.api.plugin: the plugin is api.so "
                                   "beside this file; leave 'plugin' out"});
}

TEST_CASE("problems of all dropped files are told at once with those of the main file") {
  const DropFolder folder("groups: {own: {plugin: p, count: 0}}\n");
  folder.drop("a", "cuont: 2\n");
  folder.drop("b", "listen: ${UNSET}\ncount: 0\n");
  folder.drop("c", "- list\n");
  folder.drop("d", "x: [\n");
  folder.write("plugins/e.so", "");
  std::filesystem::create_directory(folder.path() / "plugins/e.yaml");
  const Lines lines = folder.problems();
  REQUIRE(lines.size() == 7);
  CHECK(lines[0].find("app.yaml:2:34: groups.own.count: ") == 0);
  CHECK(lines[1] == "plugins/a.yaml:1:1: unknown key 'cuont' in groups.a; did you mean 'count'?");
  CHECK(lines[2].find("plugins/b.yaml:1:9: ") == 0);
  CHECK(lines[3].find("plugins/b.yaml:2:8: groups.b.count: ") == 0);
  CHECK(lines[4] == "plugins/c.yaml:1:1: groups.c: expected a mapping, got a list");
  CHECK(lines[5].find("plugins/d.yaml:2:1: not valid YAML: ") == 0);
  CHECK(lines[6] == "plugins/e.yaml: a directory, not a configuration file");
}

TEST_CASE("a dropped group's name is new and fit, or refused with its file") {
  const DropFolder folder("include: more.yaml\ngroups:\n  api: {plugin: p}\n");
  folder.write("more.yaml", "groups: {jobs: {plugin: p}}\n");
  folder.drop("Odd", "");
  folder.drop("api", "");
  folder.drop("jobs", "");
  folder.drop("shop-1.2", "");
  folder.drop("watch", "");
  const Lines lines = folder.problems();
  REQUIRE(lines.size() == 5);
  CHECK(lines[0].find("plugins/Odd.yaml: 'Odd' is not a name for a group; ") == 0);
  CHECK(lines[1] == "plugins/api.yaml: group 'api' is defined twice; first at app.yaml:4:3");
  CHECK(lines[2] == "plugins/jobs.yaml: group 'jobs' is defined twice; first at more.yaml:1:10");
  CHECK(lines[3].find("plugins/shop-1.2.yaml: 'shop-1.2' is not a name for a group; ") == 0);
  CHECK(lines[4].find("plugins/watch.yaml: a group cannot be called 'watch': ") == 0);
}

TEST_CASE("an address that a dropped group listens on twice is refused with both places") {
  const DropFolder folder("groups:\n  own: {plugin: p, listen: 'http://*:80'}\n");
  folder.drop("api", "listen: http://*:80\n");
  CHECK(folder.problems() == Lines{"plugins/api.yaml:1:9: groups.api: http://*:80 is listened on "
                                   "twice; first by groups.own at app.yaml:3:28"});
}

TEST_CASE("dropped groups count against the number of groups") {
  std::string groups = "groups:\n";
  for (int i = 0; i < 1023; ++i) groups += "  g" + std::to_string(i) + ": {plugin: p}\n";
  const DropFolder folder(groups);
  folder.drop("x", "");
  CHECK(folder.problems().empty());
  folder.drop("y", "");
  folder.drop("z", "");
  CHECK(folder.problems() == Lines{"plugins/y.yaml: more than 1024 groups"});
}

TEST_CASE("a dropped file is as bounded as any other") {
  const DropFolder folder;
  folder.drop("api", std::string((1u << 20) + 1, '#'));
  CHECK(folder.problems() ==
        Lines{"plugins/api.yaml: larger than 1 MiB; a configuration file is smaller"});
}

TEST_CASE("the main file is no dropped group, though a plugin of its name lies beside it") {
  const DropFolder folder;
  folder.write("app.yaml", "daemon: {plugins: {watch: true, dir: .}}\n");
  folder.write("app.so", "");
  folder.write("api.so", "");
  folder.write("api.yaml", "");
  CHECK(folder.names() == Lines{"api"});
}

TEST_CASE("a client that looks for the socket does not read what was dropped") {
  const DropFolder folder;
  folder.drop("api", "nonsense: true\n");
  CHECK(load_daemon(folder.file(), environment_of({})).plugins.watch);
}
