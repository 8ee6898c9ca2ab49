// The functions of an ELF file by their addresses (elf(5)), for files that nobody vouches for and
// that may change while they are read.
#pragma once

#include <link.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace appserver::plugin {

class Symbols {
 public:
  // Reads from `fd`, which must stay open and should be a regular file. Throws BadPlugin unless it
  // is an ELF shared object or program for this machine; os::SystemError where reading fails.
  explicit Symbols(int fd);

  // Where the first PT_LOAD segment is to be mapped, rounded down to a page: a mapped object's
  // first address less this is what was added to all its addresses.
  std::uint64_t first_page() const;

  // The functions at these virtual addresses, demangled; empty where none is known. From .symtab,
  // or .dynsym in a stripped file. One pass over the table, of which 32 MiB are read at most;
  // memory does not grow with the file. Throws os::SystemError where reading fails; a corrupt
  // table gives no names.
  std::vector<std::string> functions_at(std::span<const std::uint64_t> addresses) const;

 private:
  struct Table {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t names_offset = 0;
    std::uint64_t names_size = 0;
  };

  void read_segments(const ElfW(Ehdr) & header);
  void find_table(const ElfW(Ehdr) & header);
  std::string name_at(std::uint64_t offset) const;

  int fd_;
  std::uint64_t first_page_ = 0;
  Table table_;
};

}  // namespace appserver::plugin
