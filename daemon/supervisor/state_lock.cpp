#include "supervisor/state_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "os/error.hpp"

namespace appserver::supervisor {
namespace {

bool is_unwritable(const std::error_code& code) {
  return code == std::errc::read_only_file_system || code == std::errc::permission_denied ||
         code == std::errc::no_space_on_device || code.value() == EDQUOT;
}

// A lock needs no right to write. Nothing where somebody else has it; no descriptor where there is
// no file.
std::optional<os::Fd> try_lock_existing(const std::filesystem::path& file) {
  os::Fd fd(os::retry_on_interrupt(
      [&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); }));
  if (!fd && errno == ENOENT) return os::Fd();
  os::check(fd.get(), "open(\"{}\")", file.native());
  const int result = os::retry_on_interrupt([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); });
  if (result < 0 && errno == EWOULDBLOCK) return std::nullopt;
  os::check(result, "flock(\"{}\")", file.native());
  return fd;
}

std::optional<os::Fd> try_lock(const std::filesystem::path& file) {
  try {
    return os::try_lock_file(file);
  } catch (const os::SystemError& error) {
    if (!is_unwritable(error.code())) throw;
  }
  return try_lock_existing(file);
}

}  // namespace

os::Fd lock_state(const std::filesystem::path& state_dir) {
  if (!std::filesystem::exists(state_dir)) {
    std::filesystem::create_directories(state_dir);
    os::check(::chmod(state_dir.c_str(), 0755), "chmod(\"{}\")", state_dir.native());
  }
  std::optional<os::Fd> lock = try_lock(state_dir / ".lock");
  if (!lock) {
    throw std::runtime_error(fmt::format(
        "another appserverd uses the state directory {}; stop it, or set another daemon.state_dir",
        state_dir.native()));
  }
  return std::move(*lock);
}

}  // namespace appserver::supervisor
