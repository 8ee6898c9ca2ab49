#include "plugin/note.hpp"

#include <appserver/abi/note.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "plugin/bad_plugin.hpp"

namespace appserver::plugin {
namespace {

[[noreturn]] void throw_corrupt_note(std::string_view what) {
  throw BadPlugin(
      fmt::format("its {} note is corrupt: {}; build it again", APPSERVER_NOTE_SECTION, what));
}

// Cut off or filled up with zeros.
appserver_note_body copy(std::span<const std::byte> body) {
  appserver_note_body note{};
  std::memcpy(&note, body.data(), std::min(body.size(), sizeof(note)));
  return note;
}

template <std::size_t Size>
std::string_view terminated(const char (&field)[Size], const char* what) {
  const std::string_view all(field, Size);
  const auto end = all.find('\0');
  if (end == std::string_view::npos) throw_corrupt_note(fmt::format("its {} has no end", what));
  const auto value = all.substr(0, end);
  const bool printable =
      std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (value.empty() || !printable)
    throw_corrupt_note(fmt::format("its {} is empty or not plain text", what));
  return value;
}

// The name becomes a file name in the store and a word in logs and metrics.
void check_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (std::all_of(name.begin(), name.end(), allowed) && name.front() != '.' && name.front() != '-')
    return;
  throw BadPlugin(
      fmt::format("the plugin's name \"{}\" may hold only letters, digits, '.', '_' and '-', "
                  "and begin with a letter, a digit or '_'; rename it",
                  name));
}

}  // namespace

std::uint32_t host_flags() { return APPSERVER_NOTE_FLAGS; }

void check_abi(Abi abi) {
  if (abi.major != APPSERVER_ABI_MAJOR) {
    throw BadPlugin(
        fmt::format("built for ABI {}.{}, this appserverd has ABI {}.{}; build it with the SDK of "
                    "this appserverd",
                    abi.major, abi.minor, APPSERVER_ABI_MAJOR, APPSERVER_ABI_MINOR));
  }
  if (abi.minor > APPSERVER_ABI_MINOR) {
    throw BadPlugin(
        fmt::format("built for ABI {}.{}, newer than the {}.{} of this appserverd; "
                    "update appserverd, or build the plugin with the SDK of this one",
                    abi.major, abi.minor, APPSERVER_ABI_MAJOR, APPSERVER_ABI_MINOR));
  }
}

void check_sanitizers(std::uint32_t plugin_flags, std::uint32_t host_flags) {
  const auto check = [&](std::uint32_t flag, const char* name) {
    if ((plugin_flags & flag) == 0 || (host_flags & flag) != 0) return;
    throw BadPlugin(
        fmt::format("built with {}, this appserverd was not; build both the same way", name));
  };
  check(APPSERVER_NOTE_FLAG_ASAN, "AddressSanitizer");
  check(APPSERVER_NOTE_FLAG_TSAN, "ThreadSanitizer");
}

Abi read_abi(std::span<const std::byte> body) {
  // Another ABI may have another layout behind these first fields, and is to be refused by its
  // number.
  constexpr std::size_t kPrefix = offsetof(appserver_note_body, flags);
  if (body.size() < kPrefix) throw_corrupt_note("it is too short");
  const auto note = copy(body);
  if (note.magic != APPSERVER_NOTE_MAGIC) throw_corrupt_note("it has the wrong magic number");
  return {note.abi_major, note.abi_minor};
}

PluginNote parse_note(std::span<const std::byte> body) {
  const auto note = copy(body);
  if (note.size < sizeof(note) || note.size > body.size()) throw_corrupt_note("its size is wrong");
  const auto name = terminated(note.name, "name");
  check_name(name);
  return {std::string(name),
          std::string(terminated(note.version, "version")),
          std::string(terminated(note.sdk, "SDK version")),
          note.abi_major,
          note.abi_minor,
          note.flags};
}

PluginNote read_note(std::span<const std::byte> body, std::uint32_t host_flags) {
  check_abi(read_abi(body));
  auto note = parse_note(body);
  check_sanitizers(note.flags, host_flags);
  return note;
}

}  // namespace appserver::plugin
