// What a plugin's file says about itself, read without running any of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plugin/elf_file.hpp"
#include "plugin/note.hpp"

namespace appserver::plugin {

struct PluginFile {
  std::string name;
  std::string version;
  std::string sdk;
  std::uint16_t abi_major = 0;
  std::uint16_t abi_minor = 0;
  std::uint32_t flags = 0;          // APPSERVER_NOTE_FLAG_*
  std::string build_id;             // GNU build-id in hex; empty without one
  std::vector<std::string> needed;  // shared libraries it is linked with
};

// Throws BadPlugin, with the reason and the way out, for anything that this host should not try to
// load. Time and memory are bounded by the size of `file`, whatever it holds.
PluginFile inspect(std::span<const std::byte> file,
                   std::uint32_t host_flags = plugin::host_flags());

// The GNU build-id in hex; empty without one.
std::string find_build_id(const std::vector<ElfFile::Note>& notes);

}  // namespace appserver::plugin
