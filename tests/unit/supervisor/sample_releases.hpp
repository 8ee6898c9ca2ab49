// Releases for the tests of their log.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "supervisor/release_log.hpp"

namespace appserver::supervisor::test {

inline GroupReleasePtr make_group(std::uint64_t number, const std::string& name) {
  auto group = std::make_shared<GroupRelease>();
  group->number = number;
  group->config.name = name;
  group->config.plugin = "/srv/plugins/bytes \xff\xfe.so";
  group->config.count = 3;
  group->config.settings = R"({"colour":"green"})";
  group->file_count = 2;
  group->build = {std::string(64, 'a'),  "c0ffee",       "shop", "1.2.0", "0.1.0", "1.0",
                  "/store/shop \xff.so", 123'456'789'012};
  return group;
}

inline Release make_release(std::uint64_t number, const std::string& result = "committed") {
  Release release;
  release.number = number;
  release.origin = number / 2;
  release.when =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(1'795'000'000'123));
  release.who = "appserverctl (uid 0, pid 4711)";
  release.what = "shop aaaaaaa -> bbbbbbb";
  release.result = result;
  release.good = result == "committed";
  release.took = std::chrono::milliseconds(1234);
  release.groups = {make_group(number, "shop"), make_group(1, "jobs")};
  return release;
}

inline bool same(const GroupRelease& one, const GroupRelease& other) {
  const auto build = [](const plugin::Build& b) {
    return std::tie(b.sha256, b.build_id, b.name, b.version, b.sdk, b.abi, b.file, b.size);
  };
  return one.number == other.number && one.config == other.config &&
         one.file_count == other.file_count && build(one.build) == build(other.build);
}

inline bool same(const Release& one, const Release& other) {
  const auto plain = [](const Release& r) {
    return std::tie(r.number, r.origin, r.when, r.who, r.what, r.result, r.good, r.took);
  };
  return plain(one) == plain(other) &&
         std::equal(one.groups.begin(), one.groups.end(), other.groups.begin(), other.groups.end(),
                    [](const auto& a, const auto& b) { return same(*a, *b); });
}

inline std::vector<std::uint64_t> numbers(const ReleaseLog& log) {
  std::vector<std::uint64_t> found;
  for (const Release& release : log.all()) found.push_back(release.number);
  return found;
}

// Three releases, the second of which is committed.
inline ReleaseLog make_log(const std::filesystem::path& directory) {
  ReleaseLog log(directory);
  log.write(make_release(1));
  log.write(make_release(2));
  log.commit(2, "fingerprint");
  log.write(make_release(3, "rolled back: it crashed"));
  return log;
}

}  // namespace appserver::supervisor::test
