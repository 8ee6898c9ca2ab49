// Builds that failed in a rollout: the watcher does not try them again. One JSON file, written
// whole or not at all; bounded. Knows no threads; calls take as long as the disk does.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace appserver::supervisor {

class Quarantine {
 public:
  static constexpr std::size_t kMost = 200;  // the oldest gives way

  struct Entry {
    std::string sha256;
    std::string why;
    std::chrono::system_clock::time_point when{};
  };

  // A damaged file counts as an empty list, and is named in problem(); the next change keeps it as
  // FILE.damaged. Never throws for what is on the disk.
  explicit Quarantine(std::filesystem::path file);

  const std::string& problem() const { return problem_; }
  const Entry* find(const std::string& sha256) const;
  const std::vector<Entry>& all() const { return entries_; }  // oldest first

  // Both throw os::SystemError; then nothing has changed. One that is there already becomes the
  // newest, with its new reason, which is cut after 4 KiB.
  void add(Entry entry);
  void release(const std::string& sha256);  // it has proved itself after all

 private:
  void read();
  void replace(std::vector<Entry> entries);

  std::filesystem::path file_;
  std::vector<Entry> entries_;
  std::string problem_;
  bool damaged_ = false;
};

}  // namespace appserver::supervisor
