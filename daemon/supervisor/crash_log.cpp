#include "supervisor/crash_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <utility>

#include "control/json_reader.hpp"
#include "supervisor/record_folder.hpp"

namespace appserver::supervisor {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMostRecord = std::size_t{4} << 20;

control::CrashRecord read_crash(const fs::path& file, std::uint64_t number) {
  const json::value value = read_record(file, kMostRecord);
  control::CrashRecord record =
      control::crash_from_json(control::JsonReader(value, "").at("crash"));
  if (record.number != number) throw control::BadJson("crash.number: not that of the file's name");
  return record;
}

}  // namespace

CrashLog::CrashLog(fs::path directory, os::Access access) : directory_(std::move(directory)) {
  if (!open_record_folder(directory_, access)) return;
  const RecordFiles files = list_records(directory_, "");
  for (const std::uint64_t number : files.numbers) read(number);
  std::reverse(records_.begin(), records_.end());
  if (!files.numbers.empty()) highest_ = files.numbers.front();
  add_foreign(problems_, files);
}

// Newest first. Those over the bound are tried, too: a damaged one stays, and a good one was to be
// dropped by an add that was cut off.
void CrashLog::read(std::uint64_t number) {
  const fs::path file = record_file(directory_, number);
  try {
    control::CrashRecord record = read_crash(file, number);
    if (records_.size() < kKeep) {
      records_.push_back(std::move(record));
    } else if (!remove_record(file)) {
      add_problem(problems_, file, "one too many, but it cannot be removed; remove it");
    }
  } catch (const std::exception& error) {
    add_problem(problems_, file,
                fmt::format("cannot be read: {}; it is left as it is: remove it where it is not "
                            "needed",
                            error.what()));
  }
}

std::uint64_t CrashLog::add(control::CrashRecord record) {
  record.number = ++highest_;
  records_.push_back(std::move(record));
  if (records_.size() > kKeep) {
    // Where it cannot be removed, the next start tries again.
    remove_record(record_file(directory_, records_.front().number));
    records_.erase(records_.begin());
  }
  const control::CrashRecord& added = records_.back();
  write_record(record_file(directory_, added.number), {{"crash", control::to_json(added)}},
               kMostRecord);
  return added.number;
}

}  // namespace appserver::supervisor
