// A folder of a test's own.
#pragma once

#include <filesystem>
#include <string_view>

namespace appserver::integration {

// Made under /tmp with a short path (a unix socket's has at most 107 bytes), open to other users
// for reading, and removed with everything in it.
class ScratchDir {
 public:
  ScratchDir();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Writes beside the file and renames, so that a reader sees the old content or the new.
void write_file(const std::filesystem::path& file, std::string_view content);

// Writes into the file that is there, as `cp` does: whoever has it mapped sees it change.
void overwrite_in_place(const std::filesystem::path& file, std::string_view content);

std::string read_whole(const std::filesystem::path& file);

}  // namespace appserver::integration
