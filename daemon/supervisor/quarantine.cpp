#include "supervisor/quarantine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <system_error>
#include <utility>

#include "control/json_reader.hpp"
#include "os/error.hpp"
#include "os/utf8.hpp"
#include "os/write_file.hpp"
#include "supervisor/record_folder.hpp"

namespace appserver::supervisor {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using control::JsonReader;

constexpr std::size_t kMostFile = std::size_t{4} << 20;
constexpr std::size_t kMostWhy = 4096;

void cut(std::string& text) {
  if (text.size() <= kMostWhy) return;
  std::size_t end = kMostWhy;
  while (end > 0 && os::is_continuation(text[end])) --end;
  text.resize(end);
}

std::vector<Quarantine::Entry> read_entries(const json::value& value) {
  std::vector<Quarantine::Entry> entries;
  for (const json::value& build : JsonReader(value, "").array("builds")) {
    const JsonReader in(build, fmt::format("builds[{}]", entries.size()));
    entries.push_back({in.text("sha256"), in.text("why"), read_time(in, "when_ms")});
  }
  return entries;
}

auto position(const std::vector<Quarantine::Entry>& entries, const std::string& sha256) {
  return std::find_if(entries.begin(), entries.end(),
                      [&](const auto& entry) { return entry.sha256 == sha256; });
}

// What went wrong with it; empty: nothing.
std::string tidy(const fs::path& directory) {
  try {
    if (fs::is_directory(directory)) os::remove_temporaries(directory);
    return {};
  } catch (const std::exception& error) {
    return fmt::format("{}: what a write that was cut off left there cannot be removed: {}",
                       directory.native(), error.what());
  }
}

void keep_newest(std::vector<Quarantine::Entry>& entries) {
  if (entries.size() <= Quarantine::kMost) return;
  const auto excess = static_cast<std::ptrdiff_t>(entries.size() - Quarantine::kMost);
  entries.erase(entries.begin(), entries.begin() + excess);
}

}  // namespace

Quarantine::Quarantine(fs::path file) : file_(std::move(file)) {
  read();
  if (problem_.empty()) problem_ = tidy(file_.parent_path());
}

void Quarantine::read() {
  try {
    if (!fs::exists(fs::symlink_status(file_))) return;
    damaged_ = true;
    entries_ = read_entries(read_record(file_, kMostFile));
    keep_newest(entries_);
    damaged_ = false;
  } catch (const std::exception& error) {
    problem_ = fmt::format(
        "{}: cannot be used: {}; no build counts as quarantined, until one fails again; restore it "
        "from a backup, or remove it",
        file_.native(), error.what());
  }
}

const Quarantine::Entry* Quarantine::find(const std::string& sha256) const {
  const auto at = position(entries_, sha256);
  return at == entries_.end() ? nullptr : &*at;
}

void Quarantine::add(Entry entry) {
  cut(entry.why);
  std::vector<Entry> changed = entries_;
  std::erase_if(changed, [&](const Entry& each) { return each.sha256 == entry.sha256; });
  changed.push_back(std::move(entry));
  keep_newest(changed);
  replace(std::move(changed));
}

void Quarantine::release(const std::string& sha256) {
  if (find(sha256) == nullptr) return;
  std::vector<Entry> changed = entries_;
  changed.erase(position(changed, sha256));
  replace(std::move(changed));
}

void Quarantine::replace(std::vector<Entry> entries) {
  json::array builds;
  for (const Entry& entry : entries) {
    builds.push_back(json::object{
        {"sha256", entry.sha256}, {"why", entry.why}, {"when_ms", to_milliseconds(entry.when)}});
  }
  if (damaged_) set_aside(file_);
  damaged_ = false;
  write_record(file_, {{"builds", std::move(builds)}}, kMostFile);
  entries_.swap(entries);
}

}  // namespace appserver::supervisor
