#include "support/scratch_dir.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <string>
#include <system_error>

#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::integration {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLargestFile = 256u << 20;

void write_new(const fs::path& file, std::string_view content) {
  const os::Fd fd = os::open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  os::write_all(fd.get(), content);
}

}  // namespace

ScratchDir::ScratchDir() {
  std::string path = "/tmp/as-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) os::throw_system_error(errno, "mkdtemp(" + path + ")");
  path_ = path;
  os::check(::chmod(path.c_str(), 0755), "chmod({})", path);
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void write_file(const fs::path& file, std::string_view content) {
  const fs::path beside = file.string() + ".new";
  write_new(beside, content);
  fs::rename(beside, file);
}

void overwrite_in_place(const fs::path& file, std::string_view content) {
  write_new(file, content);
}

std::string read_whole(const fs::path& file) { return os::read_file(file, kLargestFile); }

}  // namespace appserver::integration
