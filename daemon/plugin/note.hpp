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

// Reads the body of a note and refuses, by BadPlugin, one that is corrupt or that this host cannot
// load: another ABI major, a newer ABI minor, or a sanitizer that the host was built without. A
// longer body, of a later SDK, is fine.
PluginNote read_note(std::span<const std::byte> body, std::uint32_t host_flags);

}  // namespace appserver::plugin
