#include "supervisor/release_log.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "config/record.hpp"
#include "control/json_reader.hpp"
#include "os/error.hpp"
#include "supervisor/record_folder.hpp"

namespace appserver::supervisor {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using control::JsonReader;

constexpr std::size_t kMostRecord = std::size_t{16} << 20;
constexpr std::size_t kMostPointer = 4096;
constexpr std::string_view kPointer = "current.json";

json::object write_build(const plugin::Build& build) {
  return {{"sha256", build.sha256},      {"build_id", build.build_id}, {"name", build.name},
          {"version", build.version},    {"sdk", build.sdk},           {"abi", build.abi},
          {"file", build.file.native()}, {"size", build.size}};
}

plugin::Build read_build(const JsonReader& in) {
  plugin::Build build;
  build.sha256 = in.text("sha256");
  build.build_id = in.text("build_id");
  build.name = in.text("name");
  build.version = in.text("version");
  build.sdk = in.text("sdk");
  build.abi = in.text("abi");
  build.file = in.text("file");
  build.size = in.count("size");
  return build;
}

json::object write_group(const GroupRelease& group) {
  return {{"number", group.number},
          {"config", config::to_json(group.config)},
          {"file_count", group.file_count},
          {"build", write_build(group.build)}};
}

GroupReleasePtr read_group(const JsonReader& in) {
  auto group = std::make_shared<GroupRelease>();
  group->number = in.count("number");
  group->config = config::group_from_json(in.at("config"));
  group->file_count = in.integer<std::uint32_t>("file_count");
  group->build = read_build(in.object("build"));
  return group;
}

json::object write_trial(const Trial& trial) {
  return {{"group", trial.group},
          {"until_ms", to_milliseconds(trial.until)},
          {"release", trial.release},
          {"before", trial.before}};
}

Trial read_trial(const JsonReader& in) {
  Trial trial;
  trial.group = in.text("group");
  trial.until = read_time(in, "until_ms");
  trial.release = in.count("release");
  trial.before = in.count("before");
  return trial;
}

json::object write_release(const Release& release) {
  json::array groups;
  for (const auto& group : release.groups) groups.emplace_back(write_group(*group));
  json::array trials;
  for (const Trial& trial : release.trials) trials.emplace_back(write_trial(trial));
  return {{"number", release.number},
          {"origin", release.origin},
          {"when_ms", to_milliseconds(release.when)},
          {"who", release.who},
          {"what", release.what},
          {"result", release.result},
          {"good", release.good},
          {"took_ms", std::max<std::int64_t>(release.took.count(), 0)},
          {"groups", std::move(groups)},
          {"trials", std::move(trials)}};
}

Release read_release(const fs::path& file, std::uint64_t number) {
  const json::value value = read_record(file, kMostRecord);
  const JsonReader in(value, "");
  Release release;
  release.number = in.count("number");
  if (release.number != number) in.fail("number", "not that of the file's name");
  release.origin = in.count("origin");
  release.when = read_time(in, "when_ms");
  release.who = in.text("who");
  release.what = in.text("what");
  release.result = in.text("result");
  release.good = in.flag("good");
  release.took = std::chrono::milliseconds(in.integer<std::int64_t>("took_ms"));
  for (const json::value& group : in.array("groups")) {
    const auto place = in.place_of(fmt::format("groups[{}]", release.groups.size()));
    release.groups.push_back(read_group({group, place}));
    const std::string& name = release.groups.back()->config.name;
    const auto same = [&](const GroupReleasePtr& each) { return each->config.name == name; };
    if (std::ranges::count_if(release.groups, same) > 1) in.fail("groups", "one is there twice");
  }
  // Records of earlier versions have none.
  if (!in.has("trials")) return release;
  for (const json::value& trial : in.array("trials")) {
    const auto place = in.place_of(fmt::format("trials[{}]", release.trials.size()));
    const Trial read = read_trial({trial, place});
    // One that would go back to itself says nothing.
    if (read.before < number) release.trials.push_back(read);
  }
  return release;
}

std::string as_problem(const std::exception& error, std::string_view way_out) {
  return fmt::format("cannot be used: {}; it is left as it is: {}", error.what(), way_out);
}

auto position(const std::vector<Release>& releases, std::uint64_t number) {
  return std::lower_bound(
      releases.begin(), releases.end(), number,
      [](const Release& release, std::uint64_t wanted) { return release.number < wanted; });
}

bool is_at(const std::vector<Release>& releases, std::vector<Release>::const_iterator at,
           std::uint64_t number) {
  return at != releases.end() && at->number == number;
}

}  // namespace

ReleaseLog::ReleaseLog(fs::path directory, os::Access access) : directory_(std::move(directory)) {
  if (!open_record_folder(directory_, access)) return;
  const RecordFiles files = list_records(directory_, kPointer);
  if (files.has_pointer) read_pointer();
  for (const std::uint64_t number : files.numbers) read(number);
  std::reverse(releases_.begin(), releases_.end());
  if (!files.numbers.empty()) highest_ = std::max(highest_, files.numbers.front());
  if (committed_ != 0 && find(committed_) == nullptr) {
    add_problem(problems_, directory_ / kPointer,
                fmt::format("the committed release {} has no record that can be used; roll back to "
                            "another one, or reload",
                            committed_));
  }
  add_foreign(problems_, files);
}

void ReleaseLog::read_pointer() {
  const fs::path file = directory_ / kPointer;
  try {
    const json::value value = read_record(file, kMostPointer);
    const JsonReader in(value, "");
    const std::uint64_t number = in.count("number");
    if (number == 0 || number > kHighestNumber) in.fail("number", "not that of a release");
    asked_for_ = in.text("asked_for");
    committed_ = number;
    highest_ = number;
  } catch (const std::exception& error) {
    add_problem(problems_, file,
                as_problem(error,
                           "it is not known which release was committed; restore it from a "
                           "backup, or roll back or reload to commit one"));
  }
}

// Newest first. Those over the bound are tried, too: a damaged one stays, and a good one was to be
// dropped by a write that was cut off.
void ReleaseLog::read(std::uint64_t number) {
  const fs::path file = record_file(directory_, number);
  try {
    Release release = read_release(file, number);
    // Without a pointer any of them may be the committed one.
    const std::size_t most = committed_ == 0 ? kKeep + 1 : kKeep;
    if (number == committed_ || kept_beside_committed() < most) {
      releases_.push_back(std::move(release));
    } else if (!remove_record(file)) {
      add_problem(problems_, file, "one too many, but it cannot be removed; remove it");
    }
  } catch (const std::exception& error) {
    add_problem(problems_, file,
                as_problem(error, "restore it from a backup, or move it elsewhere"));
  }
}

std::size_t ReleaseLog::kept_beside_committed() const {
  const auto others = std::count_if(releases_.begin(), releases_.end(),
                                    [&](const Release& each) { return each.number != committed_; });
  return static_cast<std::size_t>(others);
}

std::uint64_t ReleaseLog::next_number() const { return highest_ + 1; }

std::optional<ReleaseLog::Committed> ReleaseLog::committed() const {
  const Release* release = find(committed_);
  if (release == nullptr) return std::nullopt;
  return Committed{*release, asked_for_};
}

const Release* ReleaseLog::find(std::uint64_t number) const {
  const auto at = position(releases_, number);
  return is_at(releases_, at, number) ? &*at : nullptr;
}

void ReleaseLog::write(const Release& release) {
  if (release.number == 0 || release.number > kHighestNumber)
    throw std::invalid_argument(fmt::format("{} is no number of a release", release.number));
  std::vector<Release> changed = releases_;
  const auto at = changed.begin() + (position(changed, release.number) - changed.cbegin());
  if (is_at(changed, at, release.number)) {
    *at = release;
  } else {
    changed.insert(at, release);
  }
  write_record(record_file(directory_, release.number), write_release(release), kMostRecord);
  releases_.swap(changed);
  highest_ = std::max(highest_, release.number);
  // What fails again and again must not cost the releases that somebody may want to go back to.
  drop_oldest([&](const Release& each) {
    return !each.good && each.number != release.number && each.result != kRunning &&
           each.result != kWaitsForConfirm;
  });
  drop_oldest([](const Release&) { return true; });
}

void ReleaseLog::remove(std::uint64_t number) {
  const auto at = position(releases_, number);
  if (!is_at(releases_, at, number) || number == committed_)
    throw std::invalid_argument(fmt::format("the record of release {} cannot go", number));
  const fs::path file = record_file(directory_, number);
  if (!remove_record(file)) os::check(-1, "unlink(\"{}\")", file.native());
  releases_.erase(at);
}

// One that cannot be removed stays in the log: the next write tries again.
template <typename MayGo>
void ReleaseLog::drop_oldest(const MayGo& may_go) {
  auto excess = kept_beside_committed();
  for (auto each = releases_.begin(); excess > kKeep && each != releases_.end();) {
    const bool goes = each->number != committed_ && may_go(*each) &&
                      remove_record(record_file(directory_, each->number));
    if (goes) --excess;
    each = goes ? releases_.erase(each) : std::next(each);
  }
}

void ReleaseLog::commit(std::uint64_t number, const std::string& asked_for) {
  if (find(number) == nullptr)
    throw std::invalid_argument(fmt::format("release {} has no record", number));
  std::string kept = asked_for;
  const fs::path file = directory_ / kPointer;
  // There may be one that could not be read.
  if (committed_ == 0) set_aside(file);
  write_record(file, {{"number", number}, {"asked_for", asked_for}}, kMostPointer);
  committed_ = number;
  asked_for_.swap(kept);
}

std::string fingerprint(const config::Config& config) {
  json::array groups;
  for (const auto& group : config.groups) {
    if (!group.dropped) groups.push_back(config::to_json(group));
  }
  const std::string text = json::serialize(groups);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("OpenSSL: EVP_Digest failed");
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace appserver::supervisor
