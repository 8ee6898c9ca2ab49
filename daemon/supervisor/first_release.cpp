#include "supervisor/first_release.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "os/error.hpp"
#include "supervisor/builds.hpp"
#include "supervisor/committed_drops.hpp"
#include "supervisor/plan_words.hpp"
#include "supervisor/prepare.hpp"
#include "supervisor/start_notes.hpp"
#include "supervisor/unfinished.hpp"

namespace appserver::supervisor {

namespace {

// The state directory cannot take what a start has to write there.
class CannotRecord final : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What only the disk of the store can say, and no file that is read.
bool is_of_the_disk(const std::error_code& code) {
  return code == std::errc::no_space_on_device || code == std::errc::read_only_file_system ||
         code.value() == EDQUOT;
}

plugin::Build take_in(const config::Group& group, const config::Daemon& daemon, Archive& archive) {
  try {
    return take_in_build(group, daemon.plugins, archive.store);
  } catch (const os::SystemError& error) {
    const std::string text = fmt::format("groups.{}.plugin: {}", group.name, error.what());
    if (is_of_the_disk(error.code())) throw CannotRecord(text);
    throw std::runtime_error(text);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.plugin: {}", group.name, error.what()));
  }
}

// The committed build where the store still has it.
plugin::Build pinned_build(const config::Group& group, const plugin::Build& committed,
                           const config::Daemon& daemon, Archive& archive,
                           std::vector<std::string>& notes) {
  if (has_build(group, committed, archive.store)) return committed;
  if (!is_stored(committed)) return take_in(group, daemon, archive);
  const std::string lost =
      fmt::format("build {} of the committed release is missing from the store or damaged",
                  short_sha(committed));
  plugin::Build build;
  try {
    build = take_in(group, daemon, archive);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{}; {}, too: put the plugin back to start", error.what(), lost));
  }
  notes.push_back(
      fmt::format("{}: {}; {} is taken instead", group.name, lost, group.plugin.native()));
  return build;
}

// Of a group that has run: damaged files hold up neither it nor the others.
void take_in_tls_as_it_is(GroupRelease& release) {
  const config::Tls& link = release.config.link.tls;
  if (release.config.tls.is_used()) release.tls = load_what_serves(release.config.tls, nullptr);
  if (link.is_used()) release.link = load_what_serves(link, nullptr);
}

// Of a release that is made from another one: it is not that one which goes back.
std::vector<Trial> trials_of_kept(const Release& before,
                                  const std::vector<GroupReleasePtr>& groups) {
  std::vector<Trial> kept;
  for (const GroupReleasePtr& group : groups) {
    const std::string& name = group->config.name;
    const GroupRelease* const was = find_group(before, name);
    const auto trial = std::ranges::find(before.trials, name, &Trial::group);
    if (was == nullptr || trial == before.trials.end()) continue;
    if (was->build.sha256 != group->build.sha256) continue;
    kept.push_back(*trial);
    kept.back().release = 0;
  }
  return kept;
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
  release.trials = first.trials;
  try {
    archive.releases.write(release);
    archive.releases.commit(release.number, asked_for);
  } catch (const os::SystemError& error) {
    throw CannotRecord(error.what());
  }
}

FirstRelease from_record(const ReleaseLog::Committed& committed, const config::Daemon& daemon,
                         Archive& archive) {
  FirstRelease first;
  first.number = committed.release.number;
  const std::uint64_t next = archive.releases.next_number();
  for (const GroupReleasePtr& group : committed.release.groups) {
    check_identity(group->config);
    GroupRelease release = *group;
    release.build = pinned_build(group->config, group->build, daemon, archive, first.notes);
    take_in_tls_as_it_is(release);
    if (release.build.sha256 != group->build.sha256) {
      release.number = next;
      first.number = next;
    }
    first.groups.push_back(std::make_shared<const GroupRelease>(std::move(release)));
  }
  if (first.number != next) {
    first.trials = committed.release.trials;
    return first;
  }
  // What runs now is pinned, too.
  first.trials = trials_of_kept(committed.release, first.groups);
  record(first, "builds that were lost from the store", committed.asked_for, archive);
  return first;
}

bool is_pinned(const config::Group& group, const GroupRelease* before) {
  return before != nullptr && before->config.plugin == group.plugin;
}

// What is new in the file is a mistake where it is no good: the certificates of before serve on.
void take_in_tls(GroupRelease& release, const GroupRelease* before,
                 std::vector<std::string>& notes) {
  if (before != nullptr && before->config.tls == release.config.tls)
    return take_in_tls_as_it_is(release);
  try {
    release.tls = load_tls_of(release.config, nullptr);
  } catch (const std::exception& error) {
    if (before == nullptr) throw;
    if (!before->config.tls.is_used()) return take_in_tls_as_it_is(release);
    release.config.tls = before->config.tls;
    notes.push_back(fmt::format("{}: tls: {}; the certificates of release {} are served",
                                release.config.name, error.what(), before->number));
    take_in_tls_as_it_is(release);
  }
}

void take_in_link(GroupRelease& release, const GroupRelease* before,
                  std::vector<std::string>& notes) {
  try {
    release.link = load_link_of(release.config);
  } catch (const std::exception& error) {
    if (before == nullptr) throw;
    release.link = load_what_serves(release.config.link.tls, nullptr);
    notes.push_back(fmt::format("{}: {}; until that is mended there is no link",
                                release.config.name, error.what()));
  }
}

// A group as the file has it, with its committed build where that is of the same plugin.
GroupRelease make_group(const config::Group& group, const GroupRelease* before,
                        const config::Daemon& daemon, Archive& archive,
                        std::vector<std::string>& notes) {
  check_identity(group);
  GroupRelease release;
  release.config = group;
  release.config.count = count_for(group, before);
  release.file_count = group.count;
  release.build = is_pinned(group, before)
                      ? pinned_build(group, before->build, daemon, archive, notes)
                      : take_in(group, daemon, archive);
  take_in_tls(release, before, notes);
  take_in_link(release, before, notes);
  return release;
}

// A group of the file that is to start; without a release where its plugin is no good.
struct Candidate {
  const config::Group* wanted = nullptr;
  std::optional<GroupRelease> release;
  std::string problem;
};

// A plugin that is no good keeps its own group back; at a first start only where it was dropped.
Candidate make_what_can_be(const config::Group& group, const Release* committed,
                           const config::Daemon& daemon, Archive& archive,
                           std::vector<std::string>& notes) {
  const GroupRelease* before = committed == nullptr ? nullptr : find_group(*committed, group.name);
  const bool needed = is_pinned(group, before) || (committed == nullptr && !group.dropped);
  Candidate result{&group, {}, {}};
  // In the file it is a mistake.
  if (!group.dropped) check_identity(group);
  const auto listened = committed == nullptr ? std::vector<GroupReleasePtr>{} : committed->groups;
  try {
    check_folders(group, listened, daemon);
  } catch (const std::exception& error) {
    // What has run goes on as it did, like where a reload refuses the same.
    if (committed == nullptr && !group.dropped) throw;
    result.problem = error.what();
    return result;
  }
  try {
    result.release = make_group(group, before, daemon, archive, notes);
  } catch (const CannotRecord&) {
    throw;
  } catch (const std::exception& error) {
    if (needed) throw;
    result.problem = error.what();
  }
  return result;
}

// As it is committed, where it is, and where nobody listens by now whose plugin is fine.
void fall_back(Candidate& group, const std::vector<config::Group>& others, const Release* committed,
               const Archive& archive, std::vector<std::string>& notes) {
  const std::string& name = group.wanted->name;
  const GroupRelease* before = committed == nullptr ? nullptr : find_group(*committed, name);
  std::string instead = "it is left out";
  if (before != nullptr && archive.store.holds(before->build)) {
    if (const config::Group* rival = find_rival(others, before->config)) {
      instead = fmt::format("it is left out, as in release {} it listens where group {} does now",
                            committed->number, rival->name);
    } else {
      group.release = *before;
      take_in_tls_as_it_is(*group.release);
      instead = fmt::format("it runs as in release {}", committed->number);
    }
  }
  notes.push_back(fmt::format("{}: {}; {}, and `appserverctl reload {}` tries again", name,
                              group.problem, instead, name));
}

std::vector<Candidate> make_all(const config::Config& config, const Release* committed,
                                Archive& archive, std::vector<std::string>& notes) {
  std::vector<Candidate> result;
  std::vector<config::Group> fine;
  for (const config::Group& group : config.groups) {
    result.push_back(make_what_can_be(group, committed, config.daemon, archive, notes));
    if (result.back().release) fine.push_back(group);
  }
  for (Candidate& group : result) {
    if (!group.release) fall_back(group, fine, committed, archive, notes);
  }
  return result;
}

FirstRelease from_file(const config::Config& config, const Release* committed,
                       const std::string& what, Archive& archive) {
  FirstRelease first;
  first.number = archive.releases.next_number();
  for (Candidate& group : make_all(config, committed, archive, first.notes)) {
    if (!group.release) continue;
    group.release->number = first.number;
    first.groups.push_back(std::make_shared<const GroupRelease>(*std::move(group.release)));
  }
  if (committed != nullptr) first.trials = trials_of_kept(*committed, first.groups);
  record(first, what, fingerprint(config), archive);
  return first;
}

// A command line means what runs from now on; there is no reload of it that could wait.
void refuse_another_command_line(const config::Config& config, const Release& committed,
                                 const Archive& archive) {
  std::vector<std::string> differences;
  compare_with_file(config, committed, differences);
  for (const GroupReleasePtr& group : committed.groups) compare_with_plugin(*group, differences);
  if (differences.empty()) return;
  throw std::runtime_error(fmt::format(
      "{}; release {}, which is committed there and could run, is not what the command line asks "
      "for: mend that, start in another folder, or name another daemon.state_dir in a "
      "configuration file",
      archive.describe_unwritable(), committed.number));
}

// On a disk that cannot be written nothing but what is committed can run.
FirstRelease from_record_as_it_is(const config::Config& config, const Release& committed,
                                  Archive& archive) {
  if (config.file.empty()) refuse_another_command_line(config, committed, archive);
  FirstRelease first;
  first.number = committed.number;
  for (const GroupReleasePtr& group : committed.groups) {
    check_identity(group->config);
    if (!archive.store.holds(group->build)) {
      throw std::runtime_error(fmt::format(
          "groups.{}: build {} of the committed release is missing from the store or damaged, and "
          "{}; mend that to start",
          group->config.name, short_sha(group->build), archive.describe_unwritable()));
    }
    GroupRelease release = *group;
    take_in_tls_as_it_is(release);
    first.groups.push_back(std::make_shared<const GroupRelease>(std::move(release)));
  }
  first.trials = committed.trials;
  first.problem = fmt::format("{}; release {} runs; reloads are refused until that is mended",
                              archive.describe_unwritable(), first.number);
  archive.taken = committed;
  return first;
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

FirstRelease choose(const config::Config& config,
                    const std::optional<ReleaseLog::Committed>& committed, Archive& archive) {
  if (!committed) return from_file(config, nullptr, "first start", archive);
  if (config.file.empty())
    return from_file(config, nullptr, "a start without a configuration file", archive);
  const bool ends_drops = !config.daemon.plugins.watch && has_dropped(committed->release);
  if (committed->asked_for == fingerprint(config) && !ends_drops)
    return from_record(*committed, config.daemon, archive);
  std::vector<std::string> notes;
  const config::Config wanted = with_committed_drops(config, committed->release, notes);
  FirstRelease first = from_file(wanted, &committed->release, "a changed configuration", archive);
  first.notes.insert(first.notes.begin(), notes.begin(), notes.end());
  return first;
}

void compare_with_disk(const config::Config& config, const Release* committed,
                       FirstRelease& first) {
  if (config.file.empty()) return;
  // Where the committed release runs as it is, the file may ask for something else.
  if (committed != nullptr && first.number == committed->number)
    compare_with_file(config, *committed, first.notes);
  compare_with_folder(config, first.groups, first.folder_notes);
  const auto is_noted = [&first](const std::string& name) {
    return std::ranges::any_of(first.folder_notes, [&name](const std::string& note) {
      return note.starts_with(name + ": ");
    });
  };
  for (const GroupReleasePtr& group : first.groups) {
    if (!is_noted(group->config.name)) compare_with_plugin(*group, first.notes);
  }
}

FirstRelease choose_where_writable(const config::Config& config,
                                   const std::optional<ReleaseLog::Committed>& committed,
                                   Archive& archive) {
  std::string not_recorded;
  if (committed) not_recorded = settle_unfinished(committed->release, archive);
  FirstRelease first = choose(config, committed, archive);
  first.not_recorded = std::move(not_recorded);
  return first;
}

}  // namespace

FirstRelease choose_first_release(const config::Config& config, Archive& archive) {
  const std::optional<ReleaseLog::Committed> committed = find_committed(archive.releases);
  const Release* const release = committed ? &committed->release : nullptr;
  std::optional<FirstRelease> first;
  if (archive.unwritable.empty()) {
    try {
      first = choose_where_writable(config, committed, archive);
    } catch (const CannotRecord& error) {
      if (!committed) throw;
      archive.unwritable = error.what();
    }
  }
  if (!first) {
    if (!committed) {
      throw std::runtime_error(
          fmt::format("{}; nothing is committed there that could run: mend that, or set another "
                      "daemon.state_dir",
                      archive.describe_unwritable()));
    }
    first = from_record_as_it_is(config, *release, archive);
  }
  compare_with_disk(config, release, *first);
  return *std::move(first);
}

}  // namespace appserver::supervisor
