#include "config/include.hpp"

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

std::vector<std::string> names(const Config& config) {
  std::vector<std::string> result;
  for (const Group& group : config.groups) result.push_back(group.name);
  return result;
}

}  // namespace

TEST_CASE("groups of included files follow those of the file, by the names of the files") {
  const TemporaryFolder folder;
  folder.write("conf.d/b.yaml", "groups: {second: {plugin: p}}");
  folder.write("conf.d/a.yaml", "groups: {first: {plugin: p}}");
  folder.write("conf.d/ignored.txt", "not: yaml: at all");
  const auto file =
      folder.write("app.yaml", "include: conf.d/*.yaml\ngroups: {own: {plugin: p}}\n");
  CHECK(names(load_file(file)) == Lines{"own", "first", "second"});
}

TEST_CASE("a list of includes keeps its order and reads no file twice") {
  const TemporaryFolder folder;
  folder.write("z.yaml", "groups: {z: {plugin: p}}");
  folder.write("a.yaml", "groups: {a: {plugin: p}}");
  const auto file = folder.write("app.yml", "include: [z.yaml, '*.yaml', ./a.yaml]\n");
  CHECK(names(load_file(file)) == Lines{"z", "a"});
}

TEST_CASE("a pattern may match nothing and skips the file itself, a path must exist") {
  const TemporaryFolder folder;
  folder.write("app.yaml", "include: ['*.yaml', 'conf.d/*.yaml']\ngroups: {own: {plugin: p}}\n");
  CHECK(folder.problems_of("app.yaml").empty());
  folder.write("path.yaml", "include: conf.d/a.yaml\ngroups: {own: {plugin: p}}\n");
  CHECK(folder.problems_of("path.yaml") ==
        Lines{"path.yaml:1:10: include: 'conf.d/a.yaml': No such file or directory"});
  folder.write("self.yaml", "include: ./self.yaml\ngroups: {own: {plugin: p}}\n");
  CHECK(folder.problems_of("self.yaml") ==
        Lines{"self.yaml:1:10: include: the file includes itself"});
}

TEST_CASE("an included file has groups only") {
  const TemporaryFolder folder;
  folder.write("app.yaml", "include: conf.d/*\ngroups: {own: {plugin: p}}\n");
  folder.write("conf.d/a.yaml", "include: more.yaml\ndaemon: {}\ngroups: {a: {plugin: p}}\n");
  folder.write("conf.d/b.yaml", "# nothing yet\n");
  CHECK(folder.problems_of("app.yaml") ==
        Lines{"conf.d/a.yaml:1:1: unknown key 'include' at the top level; known are groups",
              "conf.d/a.yaml:2:1: unknown key 'daemon' at the top level; known are groups"});
}

TEST_CASE("a group that two files define is refused with both places") {
  const TemporaryFolder folder;
  folder.write("app.yaml", "include: more.yaml\ngroups:\n  api: {plugin: p}\n");
  folder.write("more.yaml", "groups: {api: {plugin: p}}\n");
  CHECK(folder.problems_of("app.yaml") ==
        Lines{"more.yaml:1:10: group 'api' is defined twice; first at app.yaml:3:3"});
}

TEST_CASE("an address that two files listen on is refused with both places") {
  const TemporaryFolder folder;
  folder.write("app.yaml",
               "include: more.yaml\ngroups:\n  a: {plugin: p, listen: 'http://*:80'}\n");
  folder.write("more.yaml", "groups: {b: {plugin: p, listen: 'http://*:80'}}\n");
  CHECK(folder.problems_of("app.yaml") == Lines{"more.yaml:1:33: groups.b: http://*:80 is listened "
                                                "on twice; first by groups.a at app.yaml:3:26"});
}

TEST_CASE("problems of all files are told at once") {
  const TemporaryFolder folder;
  folder.write("app.yaml", "include: '*.inc'\ngroups: {a: {plugin: p, count: 0}}\n");
  folder.write("b.inc", "groups: {b: {plugin: p, count: 0}}\n");
  folder.write("c.inc", "groups: {c: [\n");
  std::filesystem::create_directory(folder.path() / "d.inc");
  const Lines lines = folder.problems_of("app.yaml");
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].find("app.yaml:2:32: ") == 0);
  CHECK(lines[1].find("b.inc:1:32: ") == 0);
  CHECK(lines[2].find("c.inc:2:1: not valid YAML: ") == 0);
  CHECK(lines[3] == "d.inc: a directory, not a configuration file");
}

TEST_CASE("an included file's paths begin in its own folder, names in the one plugin folder") {
  const TemporaryFolder folder;
  const auto file =
      folder.write("app.yaml", "include: site/*.yaml\ndaemon: {plugins: {dir: lib}}\n");
  folder.write("site/a.yaml",
               "groups:\n"
               "  a: {plugin: hello, working_directory: data, listen: 'http://unix:a.sock'}\n"
               "  b: {plugin: ./b.so}\n");
  const Config config = load_file(file);
  CHECK(config.groups.at(0).plugin == folder.path() / "lib/hello.so");
  CHECK(config.groups.at(0).working_directory == folder.path() / "site/data");
  CHECK(config.groups.at(0).listen.at(0).unix_path == folder.path() / "site/a.sock");
  CHECK(config.groups.at(1).plugin == folder.path() / "site/b.so");
}

TEST_CASE("the folder of a file is no part of the pattern") {
  const TemporaryFolder folder;
  const auto file = folder.write("odd [x]*/app.yaml", "include: '*.inc'\n");
  folder.write("odd [x]*/a.inc", "groups: {a: {plugin: p}}");
  CHECK(names(load_file(file)) == Lines{"a"});
}

TEST_CASE("variables are expanded in includes and in included files") {
  const TemporaryFolder folder;
  const auto file = folder.write("app.yaml", "include: ${DIR}/*.yaml\n");
  folder.write("site/a.yaml", "groups: {a: {plugin: '${PLUGIN}'}}");
  const Config config = load_file(file, environment_of({{"DIR", "site"}, {"PLUGIN", "hello"}}));
  CHECK(config.groups.at(0).plugin == folder.path() / "plugins/hello.so");
}
