#include "plugin/inspect.hpp"

#include <appserver/abi.h>
#include <appserver/abi/note.h>
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "plugin/bad_plugin.hpp"
#include "plugin/elf_file.hpp"

namespace appserver::plugin {
namespace {

PluginNote find_note(const std::vector<ElfFile::Note>& notes, std::uint32_t host_flags) {
  std::optional<PluginNote> found;
  for (const auto& note : notes) {
    if (note.owner != APPSERVER_NOTE_OWNER || note.type != APPSERVER_NOTE_TYPE) continue;
    if (found) {
      throw BadPlugin("it has two " APPSERVER_NOTE_SECTION
                      " notes; use APPSERVER_PLUGIN in one source file only");
    }
    found = read_note(note.body, host_flags);
  }
  if (!found) {
    throw BadPlugin("not an appserverd plugin: no " APPSERVER_NOTE_SECTION
                    "; build it with appserver_add_plugin");
  }
  return *std::move(found);
}

void check_linking(const ElfFile& elf) {
  if (!elf.exports(APPSERVER_PLUGIN_SYMBOL)) {
    throw BadPlugin("it does not export " APPSERVER_PLUGIN_SYMBOL
                    "; build it with appserver_add_plugin");
  }
  // Workers load a copy from the store, where a path relative to the original's folder leads
  // nowhere.
  if (const auto path = elf.run_path(); !path.empty()) {
    throw BadPlugin(fmt::format(
        "it was linked with an RPATH or RUNPATH ({}), which does not hold for a stored copy; link "
        "those "
        "libraries statically or install them system-wide, and build with appserver_add_plugin",
        path));
  }
  if (elf.has_text_relocations()) {
    throw BadPlugin(
        "it has text relocations, which hardened systems refuse to load; build all of it with "
        "-fPIC");
  }
}

}  // namespace

std::string find_build_id(const std::vector<ElfFile::Note>& notes) {
  std::string id;
  for (const auto& note : notes) {
    if (note.owner != ELF_NOTE_GNU || note.type != NT_GNU_BUILD_ID) continue;
    for (const auto byte : note.body) id += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    break;
  }
  return id;
}

PluginFile inspect(std::span<const std::byte> file, std::uint32_t host_flags) {
  const ElfFile elf(file);
  const auto notes = elf.notes();
  auto note = find_note(notes, host_flags);
  check_linking(elf);
  return {std::move(note.name), std::move(note.version),
          std::move(note.sdk),  note.abi_major,
          note.abi_minor,       note.flags,
          find_build_id(notes), elf.needed()};
}

}  // namespace appserver::plugin
