#include "config/source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "os/error.hpp"
#include "os/fd.hpp"

namespace appserver::config {

namespace {

constexpr std::size_t kMaxSource = std::size_t{1} << 20;
constexpr std::string_view kTooLarge = "larger than 1 MiB; a configuration file is smaller";

std::string_view what_it_is(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string reason(int error) { return std::generic_category().message(error); }

Place place_of(std::string_view text, std::size_t offset, const std::string& name) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0: the first line
  return {name, static_cast<int>(std::ranges::count(before, '\n')) + 1,
          static_cast<int>(offset - line_start) + 1};
}

// Bytes in the UTF-8 sequence at the start of `text`; 0 if it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool beyond = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

// YAML allows no other control bytes, and yaml-cpp takes 0x04 for the end of the file.
bool is_forbidden(char c) {
  return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

}  // namespace

std::optional<std::size_t> first_non_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

std::optional<std::string> read_source(const std::filesystem::path& file, const std::string& name,
                                       Problems& problems) {
  const auto refuse = [&](std::string message) {
    problems.add({name, 0, 0}, std::move(message));
    return std::nullopt;
  };
  const os::Fd fd(os::retry_on_interrupt(
      [&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
  if (!fd) return refuse("cannot be opened: " + reason(errno));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return refuse("cannot be read: " + reason(errno));
  if (!S_ISREG(status.st_mode)) {
    return refuse(fmt::format("{}, not a configuration file", what_it_is(status.st_mode)));
  }
  std::string text;
  std::array<char, 16384> buffer{};
  while (text.size() <= kMaxSource) {
    const ssize_t got =
        os::retry_on_interrupt([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
    if (got < 0) return refuse("cannot be read: " + reason(errno));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return refuse(std::string(kTooLarge));
}

bool check_source(std::string_view text, const std::string& name, Problems& problems) {
  if (text.size() > kMaxSource) {
    problems.add({name, 0, 0}, std::string(kTooLarge));
    return false;
  }
  if (const auto offset = first_non_utf8(text)) {
    problems.add(place_of(text, *offset, name), "not UTF-8 text; save the file as UTF-8");
    return false;
  }
  const auto* const control = std::ranges::find_if(text, is_forbidden);
  if (control != text.end()) {
    problems.add(place_of(text, static_cast<std::size_t>(control - text.begin()), name),
                 fmt::format("control byte 0x{:02x}: this is not a text file",
                             static_cast<unsigned char>(*control)));
    return false;
  }
  return true;
}

}  // namespace appserver::config
