// A bounds-checked reader of an ELF shared object's file (elf(5)), for files that nobody vouches
// for. No code of the file is run, and nothing is believed about its offsets, counts or strings.
#pragma once

#include <link.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::plugin {

// What an ELF file's first bytes say, for a file of any machine.
struct ElfTarget {
  std::string kind;     // "shared object", "program", ...; a PIE still looks like a shared object
  std::string machine;  // "x86-64", "arm (32-bit)"
  bool is_shared_object;
  bool is_ours;  // can run on this machine
};

// Nothing for a file that does not begin as an ELF file does.
std::optional<ElfTarget> read_elf_target(std::span<const std::byte> file);

// This machine, in the words of ElfTarget.
std::string our_machine();

class ElfFile {
 public:
  struct Note {
    std::string_view owner;  // without its NUL
    std::uint32_t type;
    std::span<const std::byte> body;
  };

  // Views `file`, which must outlive this. Throws BadPlugin unless it is a whole shared object for
  // this machine.
  explicit ElfFile(std::span<const std::byte> file);

  // Of all PT_NOTE segments, in file order.
  std::vector<Note> notes() const;

  // Whether dlsym(3) would find `symbol` here: looked up through the hash table, as the loader
  // does.
  bool exports(std::string_view symbol) const;

  // DT_NEEDED: the libraries the loader must find.
  std::vector<std::string> needed() const;

  // DT_RUNPATH or DT_RPATH; empty without either.
  std::string run_path() const;

  bool has_text_relocations() const;

  // DT_AUDIT or DT_DEPAUDIT: libraries whose code the dynamic loader runs even when it is only to
  // list what the file needs.
  bool names_auditors() const;

 private:
  void check_whole(const ElfW(Ehdr) & header) const;
  void read_segments(const ElfW(Ehdr) & header);
  void read_dynamic();

  // The value of the first entry with this tag; 0 without one.
  ElfW(Xword) dynamic(ElfW(Sxword) tag) const;

  // From this virtual address to the end of the file content of its segment.
  std::span<const std::byte> at_address(ElfW(Addr) address, const char* what) const;
  std::string_view strings() const;
  std::string_view string(std::uint64_t offset) const;
  bool defines(std::uint64_t symbol_index, std::string_view name) const;
  bool exports_by_gnu_hash(std::string_view symbol) const;
  bool exports_by_sysv_hash(std::string_view symbol) const;

  std::span<const std::byte> file_;
  std::vector<ElfW(Phdr)> segments_;
  std::vector<ElfW(Dyn)> dynamic_;
};

}  // namespace appserver::plugin
