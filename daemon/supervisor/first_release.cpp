#include "supervisor/first_release.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "os/fd.hpp"
#include "plugin/sha256.hpp"
#include "supervisor/prepare.hpp"

namespace appserver::supervisor {

namespace {

std::string short_sha(const plugin::Build& build) { return build.sha256.substr(0, 7); }

// The command of appserverctl that gives the group what lies on disk.
std::string_view verb_for(const config::Group& running) {
  return running.reloadable ? "reload" : "restart";
}

plugin::Build take_in(const config::Group& group, Archive& archive) {
  try {
    return archive.store.add(group.plugin);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.plugin: {}", group.name, error.what()));
  }
}

const GroupRelease* find(const Release& release, const std::string& name) {
  const auto found = std::ranges::find_if(
      release.groups, [&](const GroupReleasePtr& each) { return each->config.name == name; });
  return found == release.groups.end() ? nullptr : found->get();
}

// The committed build where the store still has it.
plugin::Build pinned_build(const config::Group& group, const plugin::Build& committed,
                           Archive& archive, std::vector<std::string>& notes) {
  if (archive.store.holds(committed)) return committed;
  const std::string lost =
      fmt::format("build {} of the committed release is missing from the store or damaged",
                  short_sha(committed));
  plugin::Build build;
  try {
    build = take_in(group, archive);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{}; {}, too: put the plugin back to start", error.what(), lost));
  }
  notes.push_back(
      fmt::format("{}: {}; {} is taken instead", group.name, lost, group.plugin.native()));
  return build;
}

// A restart is no rollout: what else lies in the plugin folder waits for one.
void compare_with_plugin(const GroupRelease& group, std::vector<std::string>& notes) {
  std::string what;
  try {
    const std::filesystem::path& plugin = group.config.plugin;
    // Reading a device may have no end.
    if (!std::filesystem::is_regular_file(plugin)) throw std::runtime_error("no file");
    const os::Fd file = os::open_file(plugin, O_RDONLY | O_NONBLOCK);
    if (plugin::sha256(file.get()) == group.build.sha256) return;
    what = "is another build than";
  } catch (const std::exception&) {
    what = "cannot be read, unlike";
  }
  notes.push_back(
      fmt::format("{}: {} {} the committed one ({}), which runs; `appserverctl {} {}` "
                  "takes the file",
                  group.config.name, group.config.plugin.native(), what, short_sha(group.build),
                  verb_for(group.config), group.config.name));
}

// Set by `scale`, a count stays until the file says something else.
std::uint32_t count_for(const config::Group& wanted, const GroupRelease* committed) {
  const bool kept = committed != nullptr && committed->file_count == wanted.count;
  return kept ? committed->config.count : wanted.count;
}

// What the file asked for already when the committed release was made, but that did not take: a
// rollout was of other groups only, or was rolled back.
void compare_with_file(const config::Config& file, const Release& committed,
                       std::vector<std::string>& notes) {
  for (const config::Group& group : file.groups) {
    const GroupRelease* const runs = find(committed, group.name);
    if (runs == nullptr) {
      notes.push_back(
          fmt::format("{}: is in the file, but not in release {}, which runs; "
                      "`appserverctl reload {}` starts it",
                      group.name, committed.number, group.name));
      continue;
    }
    config::Group wanted = group;
    wanted.count = count_for(group, runs);
    if (wanted == runs->config) continue;
    notes.push_back(
        fmt::format("{}: release {} runs, whose configuration is not that of the file; "
                    "`appserverctl {} {}` takes the file",
                    group.name, committed.number, verb_for(runs->config), group.name));
  }
  for (const GroupReleasePtr& group : committed.groups) {
    const std::string& name = group->config.name;
    if (std::ranges::find(file.groups, name, &config::Group::name) != file.groups.end()) continue;
    notes.push_back(
        fmt::format("{}: is not in the file, but in release {}, which runs; "
                    "`appserverctl reload {}{}` ends it",
                    name, committed.number, group->config.reloadable ? "" : "--force ", name));
  }
}

void record(const FirstRelease& first, const std::string& what, const std::string& asked_for,
            Archive& archive) {
  Release release;
  release.number = first.number;
  release.when = std::chrono::system_clock::now();
  release.who = "start";
  release.what = what;
  release.result = "committed";
  release.good = true;
  release.groups = first.groups;
  archive.releases.write(release);
  archive.releases.commit(release.number, asked_for);
}

FirstRelease from_record(const ReleaseLog::Committed& committed, Archive& archive) {
  FirstRelease first;
  first.number = committed.release.number;
  const std::uint64_t next = archive.releases.next_number();
  for (const GroupReleasePtr& group : committed.release.groups) {
    check_identity(group->config);
    GroupRelease release = *group;
    release.build = pinned_build(group->config, group->build, archive, first.notes);
    if (release.build.sha256 != group->build.sha256) {
      release.number = next;
      first.number = next;
    }
    first.groups.push_back(std::make_shared<const GroupRelease>(std::move(release)));
  }
  // What runs now is pinned, too.
  if (first.number == next)
    record(first, "builds that were lost from the store", committed.asked_for, archive);
  return first;
}

FirstRelease from_file(const config::Config& config, const Release* committed,
                       const std::string& what, Archive& archive) {
  FirstRelease first;
  first.number = archive.releases.next_number();
  for (const config::Group& group : config.groups) {
    check_identity(group);
    const GroupRelease* before = committed == nullptr ? nullptr : find(*committed, group.name);
    const bool pinned = before != nullptr && before->config.plugin == group.plugin;
    GroupRelease release;
    release.number = first.number;
    release.config = group;
    release.config.count = count_for(group, before);
    release.file_count = group.count;
    release.build =
        pinned ? pinned_build(group, before->build, archive, first.notes) : take_in(group, archive);
    first.groups.push_back(std::make_shared<const GroupRelease>(std::move(release)));
  }
  record(first, what, fingerprint(config), archive);
  return first;
}

// Nobody can confirm any more what a restart has taken back, and what was written but not committed
// never ran to its end.
void settle_unfinished(std::uint64_t committed, Archive& archive, std::vector<std::string>& notes) {
  std::vector<Release> open;
  for (const Release& release : archive.releases.all()) {
    const bool unconfirmed = release.result == "waits for a confirm";
    if (unconfirmed || (release.number > committed && release.good)) open.push_back(release);
  }
  for (Release& release : open) {
    if (release.number < committed) {
      release.result = "committed: another release followed";
      release.good = true;
    } else {
      release.result = fmt::format("reverted: the daemon ended before it was {}",
                                   release.good ? "committed" : "confirmed");
      release.good = false;
    }
    try {
      archive.releases.write(release);
    } catch (const std::exception& error) {
      // No reason not to serve.
      notes.push_back(fmt::format("release {} is {}; that cannot be recorded: {}", release.number,
                                  release.result, error.what()));
    }
  }
}

// The committed release; where the log does not know it any more, the newest that was good.
std::optional<ReleaseLog::Committed> find_committed(const ReleaseLog& log) {
  auto committed = log.committed();
  if (committed) return committed;
  for (const Release& release : log.all()) {
    if (release.good) committed = ReleaseLog::Committed{release, {}};
  }
  return committed;
}

}  // namespace

FirstRelease choose_first_release(const config::Config& config, Archive& archive) {
  const std::optional<ReleaseLog::Committed> committed = find_committed(archive.releases);
  if (!committed) return from_file(config, nullptr, "first start", archive);
  std::vector<std::string> notes;
  settle_unfinished(committed->release.number, archive, notes);
  FirstRelease first;
  if (config.file.empty()) {
    first = from_file(config, nullptr, "a start without a configuration file", archive);
  } else if (committed->asked_for != fingerprint(config)) {
    first = from_file(config, &committed->release, "a changed configuration", archive);
  } else {
    first = from_record(*committed, archive);
    compare_with_file(config, committed->release, notes);
  }
  if (!config.file.empty()) {
    for (const GroupReleasePtr& group : first.groups) compare_with_plugin(*group, notes);
  }
  first.notes.insert(first.notes.end(), notes.begin(), notes.end());
  return first;
}

}  // namespace appserver::supervisor
