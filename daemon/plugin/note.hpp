// The plugin's own ELF note (appserver/abi/note.h): which plugin it is, and which ABI it was built
// for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace appserver::plugin {

struct PluginNote {
  std::string name;  // a file name without surprises: letters, digits, '.', '_', '-', and no '.' or
                     // '-' first
  std::string version;
  std::string sdk;
  std::uint16_t abi_major = 0;
  std::uint16_t abi_minor = 0;
  std::uint32_t flags = 0;  // APPSERVER_NOTE_FLAG_*
};

// The APPSERVER_NOTE_FLAG_* bits that this build of the host has.
std::uint32_t host_flags();

struct Abi {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
};

// The steps of read_note, for who wants to know of every mistake. Each throws BadPlugin.
//
// The ABI of a note of any ABI.
Abi read_abi(std::span<const std::byte> body);
// Refuses another major than the host's, and a newer minor.
void check_abi(Abi abi);
// All of a note with the host's ABI major.
PluginNote parse_note(std::span<const std::byte> body);
// Only what cannot work is refused: a plugin without a sanitizer runs well in a host that has one.
void check_sanitizers(std::uint32_t plugin_flags, std::uint32_t host_flags);

// Reads the body of a note and refuses, by BadPlugin, one that is corrupt or that this host cannot
// load: another ABI major, a newer ABI minor, or a sanitizer that the host was built without. A
// longer body, of a later SDK, is fine.
PluginNote read_note(std::span<const std::byte> body, std::uint32_t host_flags);

}  // namespace appserver::plugin
