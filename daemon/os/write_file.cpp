#include "os/write_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::os {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& target) {
  return target.has_parent_path() ? target.parent_path() : fs::path(".");
}

// Gone again unless it was renamed over the target.
class Temporary {
 public:
  explicit Temporary(const fs::path& directory)
      : path_(directory / fmt::format("{}XXXXXX", kTemporaryPrefix)) {
    file_.reset(check(::mkostemp(path_.data(), O_CLOEXEC), "mkostemp(\"{}\")", path_));
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!renamed_) ::unlink(path_.c_str());
  }

  void fill(std::string_view content, mode_t mode) {
    write_all(file_.get(), content);
    check(::fchmod(file_.get(), mode), "fchmod(\"{}\")", path_);
    check(::fsync(file_.get()), "fsync(\"{}\")", path_);
  }

  void rename_to(const fs::path& target) {
    check(::rename(path_.c_str(), target.c_str()), "rename(\"{}\")", path_);
    renamed_ = true;
  }

 private:
  std::string path_;
  Fd file_;
  bool renamed_ = false;
};

bool is_out_of_space(const std::error_code& code) {
  return code == std::errc::no_space_on_device || code == std::errc::file_too_large ||
         code.value() == EDQUOT;
}

bool is_regular(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

void write_file(const fs::path& target, std::string_view content, mode_t mode) {
  try {
    // Opened first: what can fail should do so before the target has changed.
    const Fd directory = open_file(folder_of(target), O_RDONLY | O_DIRECTORY);
    Temporary file(folder_of(target));
    file.fill(content, mode);
    file.rename_to(target);
    check(::fsync(directory.get()), "fsync(\"{}\")", folder_of(target).native());
  } catch (const SystemError& error) {
    throw SystemError(
        error.code().value(),
        fmt::format("writing \"{}\"{}", target.native(),
                    is_out_of_space(error.code()) ? ", which needs more free space" : ""));
  }
}

std::string why_not_writable(const fs::path& directory) {
  constexpr std::size_t kSize = 65'536;
  const fs::path file = directory / ".writable";
  try {
    write_file(file, std::string(kSize, '\0'), 0600);
    check(::unlink(file.c_str()), "unlink(\"{}\")", file.native());
    return {};
  } catch (const SystemError& error) {
    return error.code().message();
  }
}

void remove_temporaries(const fs::path& directory) {
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    if (!path.filename().native().starts_with(kTemporaryPrefix) || !is_regular(path)) continue;
    check(::unlink(path.c_str()), "unlink(\"{}\")", path.native());
  }
  if (error) throw_system_error(error.value(), fmt::format("reading \"{}\"", directory.native()));
}

}  // namespace appserver::os
