#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

TEST_CASE("user and group are kept as they are written and never looked up") {
  const Group group = load_group("    user: nobody-has-this-name\n    group: 1000\n");
  CHECK(group.user == "nobody-has-this-name");
  CHECK(group.group == "1000");
  CHECK(group_problems("    user: ''\n").size() == 1);
  CHECK(group_problems("    user: ''\n    group: www\n").size() == 1);
  CHECK(
      group_problems("    user: 'a:b'\n") ==
      Lines{
          "app.yaml:4:11: groups.api.user: expected the name or number of an account, got 'a:b'"});
}

TEST_CASE("a group of accounts without a user is refused") {
  CHECK(group_problems("    count: 2\n    group: www\n") ==
        Lines{"app.yaml:5:5: groups.api.group: goes with 'user' only; name that, too, or leave "
              "'group' out"});
}

TEST_CASE("nice goes from -20 to 19") {
  CHECK(load_group("    nice: -20\n").nice == -20);
  CHECK(load_group("    nice: 19\n").nice == 19);
  CHECK_FALSE(load_group("").nice);
  CHECK(group_problems("    nice: 20\n") ==
        Lines{"app.yaml:4:11: groups.api.nice: expected a number from -20 to 19, got '20'"});
}

TEST_CASE("processors are a list, or ranges in one text") {
  CHECK(load_group("    cpu_affinity: [0, 2, 1]\n").cpu_affinity == std::vector<int>{0, 2, 1});
  CHECK(load_group("    cpu_affinity: 0-3,6\n").cpu_affinity == std::vector<int>{0, 1, 2, 3, 6});
  CHECK(load_group("    cpu_affinity: 5\n").cpu_affinity == std::vector<int>{5});
  CHECK(group_problems("    cpu_affinity: 3-0\n") ==
        Lines{"app.yaml:4:19: groups.api.cpu_affinity: expected processors such as 0-3,6, got "
              "'3-0'; they go "
              "from 0 to 1023"});
  CHECK(group_problems("    cpu_affinity: [0, 1024]\n").size() == 1);
  CHECK(group_problems("    cpu_affinity: 0,\n").size() == 1);
  CHECK(group_problems("    cpu_affinity: -1\n").size() == 1);
  CHECK(group_problems("    cpu_affinity: 0-1023,0-1023,0-1023\n").size() == 1);
  CHECK(group_problems("    cpu_affinity: {a: 1}\n").size() == 1);
}

TEST_CASE("an rlimit is one value for both, or soft and hard") {
  const auto rlimits = load_group(
                           "    rlimits:\n"
                           "      nofile: 1024\n"
                           "      core: unlimited\n"
                           "      as: 4GiB\n"
                           "      nproc: {soft: 10, hard: unlimited}\n"
                           "      stack: {soft: 8MiB, hard: 16MiB}\n")
                           .rlimits;
  CHECK(rlimits.size() == 5);
  CHECK(rlimits.at("nofile") == Rlimit{1024, 1024});
  CHECK(rlimits.at("core") == Rlimit{});
  CHECK(rlimits.at("as") == Rlimit{4ull << 30, 4ull << 30});
  CHECK(rlimits.at("nproc") == Rlimit{10, std::nullopt});
  CHECK(rlimits.at("stack") == Rlimit{8u << 20, 16u << 20});
}

TEST_CASE("an rlimit that makes no sense is refused") {
  CHECK(
      group_problems("    rlimits: {nofile: 1KiB}\n") ==
      Lines{
          "app.yaml:4:23: groups.api.rlimits.nofile: expected a number, or unlimited, got '1KiB'"});
  CHECK(group_problems("    rlimits: {as: much}\n") ==
        Lines{"app.yaml:4:19: groups.api.rlimits.as: expected a size such as 64MiB, or unlimited, "
              "got 'much'"});
  CHECK(group_problems("    rlimits: {nofile: {soft: 2, hard: 1}}\n") ==
        Lines{"app.yaml:4:15: groups.api.rlimits.nofile: soft is above hard"});
  CHECK(group_problems("    rlimits: {nofile: {soft: unlimited, hard: 1}}\n").size() == 1);
  CHECK(group_problems("    rlimits: {nofile: {soft: 2}}\n") ==
        Lines{"app.yaml:4:15: groups.api.rlimits.nofile: needs both soft and hard, or one value "
              "for the two"});
  CHECK(group_problems("    rlimits: {as: 18446744073709551615}\n").size() == 1);
  CHECK(group_problems("    rlimits: {nofile: -1}\n").size() == 1);
}

TEST_CASE("the environment is a mapping of names to texts, as they are written") {
  const auto environment =
      load_group("    environment: {PORT: 8080, FLAG: true, EMPTY: '', PATH_X: '/a:/b'}\n")
          .environment;
  CHECK(environment == std::map<std::string, std::string>{
                           {"PORT", "8080"}, {"FLAG", "true"}, {"EMPTY", ""}, {"PATH_X", "/a:/b"}});
  CHECK(group_problems("    environment: {X: }\n") ==
        Lines{"app.yaml:4:19: groups.api.environment.X: expected a value (\"\" for an empty one), "
              "got nothing"});
  CHECK(group_problems("    environment: {'A=B': 1}\n").size() == 1);
  CHECK(group_problems("    environment: {'': 1}\n").size() == 1);
  CHECK(group_problems("    environment: {X: \"\\0\"}\n").size() == 1);
  CHECK(group_problems("    environment: [X=1]\n").size() == 1);
}

TEST_CASE("a working directory is relative to the file, and no path has a NUL") {
  CHECK(load_group("    working_directory: .\n").working_directory == "/srv");
  CHECK(load_group("    working_directory: /\n").working_directory == "/");
  CHECK(group_problems("    working_directory: \"a\\0b\"\n") ==
        Lines{"app.yaml:4:24: groups.api.working_directory: expected a path, got 'a\\x00b'; it has "
              "a NUL byte"});
}
