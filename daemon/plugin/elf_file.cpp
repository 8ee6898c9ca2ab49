#include "plugin/elf_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "plugin/bad_plugin.hpp"

// The header of the running program itself, placed by the linker: what "this machine" is.
// NOLINTNEXTLINE(readability-identifier-naming): the linker's name
extern "C" const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

namespace appserver::plugin {
namespace {

using Bytes = std::span<const std::byte>;

// Real plugins have a dozen of each. The bounds keep a crafted file from costing the supervisor
// time or memory.
constexpr std::size_t kMaxSegments = 256;
constexpr std::size_t kMaxNotes = 1024;
constexpr std::size_t kMaxDynamicEntries = 4096;
constexpr std::size_t kMaxString = 4096;

[[noreturn]] void throw_corrupt(std::string_view what) {
  throw BadPlugin(fmt::format("the ELF file is corrupt ({}); build or copy it again", what));
}

[[noreturn]] void throw_cut_short(std::uint64_t have, std::uint64_t need) {
  throw BadPlugin(fmt::format(
      "the file is cut short (it has {} bytes and needs at least {}); is it still being copied?",
      have, need));
}

Bytes slice(Bytes bytes, std::uint64_t offset, std::uint64_t size, const char* what) {
  if (offset > bytes.size() || size > bytes.size() - offset) {
    throw_corrupt(fmt::format("{} out of bounds", what));
  }
  return bytes.subspan(offset, size);
}

// memcpy, because nothing in a file is aligned by promise.
template <typename T>
T read(Bytes bytes, std::uint64_t offset, const char* what) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, slice(bytes, offset, sizeof(T), what).data(), sizeof(T));
  return value;
}

std::string_view text(Bytes bytes) {
  return {static_cast<const char*>(static_cast<const void*>(bytes.data())), bytes.size()};
}

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_386:
      return "x86";
    case EM_X86_64:
      return "x86-64";
    case EM_ARM:
      return "arm";
    case EM_AARCH64:
      return "aarch64";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390";
    case EM_MIPS:
      return "mips";
    case EM_LOONGARCH:
      return "loongarch";
    default:
      return fmt::format("ELF machine {}", machine);
  }
}

std::string target_name(const unsigned char* identity, std::uint16_t machine) {
  const bool wide = identity[EI_CLASS] == ELFCLASS64;
  const bool little = identity[EI_DATA] == ELFDATA2LSB;
  return fmt::format("{}{}{}", machine_name(machine), wide ? "" : " (32-bit)",
                     little ? "" : " (big-endian)");
}

const char* kind_name(std::uint16_t type) {
  switch (type) {
    case ET_DYN:
      return "shared object";
    case ET_EXEC:
      return "program";
    case ET_REL:
      return "object file that was not linked";
    case ET_CORE:
      return "core dump";
    default:
      return "ELF file of an unknown type";
  }
}

std::string with_article(const std::string& kind) {
  return (kind.front() == 'E' || kind.front() == 'o' ? "an " : "a ") + kind;
}

std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

std::uint32_t gnu_hash(std::string_view name) {
  std::uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
  return hash;
}

std::uint32_t sysv_hash(std::string_view name) {
  std::uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    const std::uint32_t high = hash & 0xf0000000u;
    hash = (hash ^ (high >> 24)) & ~high;
  }
  return hash;
}

bool has_elf_magic(Bytes file) {
  const auto magic = text(file.first(std::min<std::size_t>(file.size(), SELFMAG)));
  return magic == std::string_view(ELFMAG, magic.size());
}

}  // namespace

std::string our_machine() { return target_name(__ehdr_start.e_ident, __ehdr_start.e_machine); }

std::optional<ElfTarget> read_elf_target(Bytes file) {
  // e_ident, e_type and e_machine lie at the same places for every class and byte order.
  constexpr std::size_t kTypeOffset = 16;
  constexpr std::size_t kMachineOffset = 18;
  if (file.size() < kMachineOffset + 2 || !has_elf_magic(file)) return std::nullopt;
  unsigned char identity[EI_NIDENT];
  std::memcpy(identity, file.data(), sizeof(identity));
  auto type = read<std::uint16_t>(file, kTypeOffset, "header");
  auto machine = read<std::uint16_t>(file, kMachineOffset, "header");
  if (identity[EI_DATA] != __ehdr_start.e_ident[EI_DATA]) {
    type = __builtin_bswap16(type);
    machine = __builtin_bswap16(machine);
  }
  auto name = target_name(identity, machine);
  const bool is_ours = name == our_machine();
  return ElfTarget{kind_name(type), std::move(name), type == ET_DYN, is_ours};
}

ElfFile::ElfFile(Bytes file) : file_(file) {
  if (file.empty()) throw BadPlugin("the file is empty; is it still being copied?");
  if (!has_elf_magic(file)) {
    throw BadPlugin("not an ELF shared object; build it with appserver_add_plugin");
  }
  const auto target = read_elf_target(file);
  if (target && !target->is_ours) {
    throw BadPlugin(fmt::format("built for {}, this machine is {}; build it for this machine",
                                target->machine, our_machine()));
  }
  if (file.size() < sizeof(ElfW(Ehdr))) throw_cut_short(file.size(), sizeof(ElfW(Ehdr)));
  const auto header = read<ElfW(Ehdr)>(file, 0, "header");
  if (!target->is_shared_object) {
    throw BadPlugin(fmt::format("not a shared object but {}; build it with appserver_add_plugin",
                                with_article(target->kind)));
  }
  read_segments(header);
  check_whole(header);
  read_dynamic();
}

void ElfFile::read_segments(const ElfW(Ehdr) & header) {
  if (header.e_phnum == 0 || header.e_phnum > kMaxSegments ||
      header.e_phentsize != sizeof(ElfW(Phdr))) {
    throw_corrupt("table of segments makes no sense");
  }
  const std::uint64_t size = std::uint64_t{header.e_phnum} * sizeof(ElfW(Phdr));
  if (header.e_phoff > file_.size() || size > file_.size() - header.e_phoff) {
    throw_cut_short(file_.size(), header.e_phoff + size);
  }
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    segments_.push_back(
        read<ElfW(Phdr)>(file_, header.e_phoff + i * sizeof(ElfW(Phdr)), "table of segments"));
  }
}

// Linkers put the table of sections last, so that it tells of almost every missing byte.
void ElfFile::check_whole(const ElfW(Ehdr) & header) const {
  const auto require = [this](std::uint64_t offset, std::uint64_t size) {
    if (offset > file_.size() || size > file_.size() - offset) {
      throw_cut_short(file_.size(), offset > UINT64_MAX - size ? UINT64_MAX : offset + size);
    }
  };
  for (const auto& segment : segments_) {
    if (segment.p_type == PT_LOAD) require(segment.p_offset, segment.p_filesz);
  }
  if (header.e_shoff == 0) return;
  if (header.e_shentsize != sizeof(ElfW(Shdr))) throw_corrupt("table of sections makes no sense");
  // A count that does not fit into e_shnum is 0 here and stands in the first section, which there
  // must be at least.
  require(header.e_shoff, std::max<std::uint64_t>(header.e_shnum, 1) * sizeof(ElfW(Shdr)));
}

void ElfFile::read_dynamic() {
  const auto segment = std::find_if(segments_.begin(), segments_.end(), [](const ElfW(Phdr) & one) {
    return one.p_type == PT_DYNAMIC;
  });
  if (segment == segments_.end()) {
    throw BadPlugin(
        "not a shared object: it has no dynamic section; build it with appserver_add_plugin");
  }
  const auto table = slice(file_, segment->p_offset, segment->p_filesz, "dynamic section");
  for (std::uint64_t offset = 0;; offset += sizeof(ElfW(Dyn))) {
    const auto entry = read<ElfW(Dyn)>(table, offset, "dynamic section");
    if (entry.d_tag == DT_NULL) break;
    if (dynamic_.size() == kMaxDynamicEntries)
      throw_corrupt("dynamic section has too many entries");
    dynamic_.push_back(entry);
  }
  if ((dynamic(DT_FLAGS_1) & DF_1_PIE) != 0) {
    throw BadPlugin("not a shared object but a program; build it with appserver_add_plugin");
  }
}

ElfW(Xword) ElfFile::dynamic(ElfW(Sxword) tag) const {
  const auto entry = std::find_if(dynamic_.begin(), dynamic_.end(),
                                  [tag](const ElfW(Dyn) & one) { return one.d_tag == tag; });
  return entry == dynamic_.end() ? 0 : entry->d_un.d_val;
}

Bytes ElfFile::at_address(ElfW(Addr) address, const char* what) const {
  for (const auto& segment : segments_) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    const auto offset = address - segment.p_vaddr;
    if (offset >= segment.p_filesz) continue;
    return slice(file_, segment.p_offset, segment.p_filesz, what).subspan(offset);
  }
  throw_corrupt(fmt::format("{} out of bounds", what));
}

std::string_view ElfFile::strings() const {
  constexpr auto kWhat = "string table";
  return text(slice(at_address(dynamic(DT_STRTAB), kWhat), 0, dynamic(DT_STRSZ), kWhat));
}

std::string_view ElfFile::string(std::uint64_t offset) const {
  const auto table = strings();
  if (offset > table.size()) throw_corrupt("string table out of bounds");
  const auto rest = table.substr(offset);
  const auto end = rest.substr(0, kMaxString).find('\0');
  if (end == std::string_view::npos) throw_corrupt("a string without end");
  return rest.substr(0, end);
}

std::vector<ElfFile::Note> ElfFile::notes() const {
  constexpr auto kWhat = "notes";
  std::vector<Note> notes;
  for (const auto& segment : segments_) {
    if (segment.p_type != PT_NOTE) continue;
    // glibc and the linkers read it so: 8 only for .note.gnu.property, and 4 for whatever else the
    // field says.
    const std::uint64_t alignment = segment.p_align == 8 ? 8 : 4;
    auto rest = slice(file_, segment.p_offset, segment.p_filesz, kWhat);
    while (rest.size() >= sizeof(ElfW(Nhdr))) {
      if (notes.size() == kMaxNotes) throw_corrupt("too many notes");
      const auto header = read<ElfW(Nhdr)>(rest, 0, kWhat);
      auto owner = text(slice(rest, sizeof(header), header.n_namesz, kWhat));
      owner = owner.substr(0, owner.find('\0'));
      const auto body_offset = padded(sizeof(header) + std::uint64_t{header.n_namesz}, alignment);
      notes.push_back({owner, header.n_type, slice(rest, body_offset, header.n_descsz, kWhat)});
      // The last one may come without its padding.
      const auto next = padded(body_offset + header.n_descsz, alignment);
      rest = rest.subspan(std::min<std::uint64_t>(next, rest.size()));
    }
  }
  return notes;
}

bool ElfFile::exports(std::string_view symbol) const {
  if (dynamic(DT_GNU_HASH) != 0) return exports_by_gnu_hash(symbol);
  if (dynamic(DT_HASH) != 0) return exports_by_sysv_hash(symbol);
  return false;
}

bool ElfFile::defines(std::uint64_t symbol_index, std::string_view name) const {
  constexpr auto kWhat = "symbol table";
  const auto symbol = read<ElfW(Sym)>(at_address(dynamic(DT_SYMTAB), kWhat),
                                      symbol_index * sizeof(ElfW(Sym)), kWhat);
  const auto binding = ELF64_ST_BIND(symbol.st_info);
  if (symbol.st_shndx == SHN_UNDEF || binding == STB_LOCAL) return false;
  // Without a search for the end of each string: a crafted table may have us here very often.
  const auto rest = strings().substr(std::min<std::uint64_t>(symbol.st_name, strings().size()));
  return rest.size() > name.size() && rest.starts_with(name) && rest[name.size()] == '\0';
}

// Layout: {buckets, first hashed symbol, bloom words, bloom shift}, bloom filter, buckets, chains;
// a chain ends at an odd hash.
bool ElfFile::exports_by_gnu_hash(std::string_view symbol) const {
  constexpr auto kWhat = "hash table";
  const auto table = at_address(dynamic(DT_GNU_HASH), kWhat);
  const std::uint64_t buckets = read<std::uint32_t>(table, 0, kWhat);
  const std::uint64_t first = read<std::uint32_t>(table, 4, kWhat);
  const std::uint64_t bloom_words = read<std::uint32_t>(table, 8, kWhat);
  if (buckets == 0) return false;
  const auto hash = gnu_hash(symbol);
  const std::uint64_t bucket_offset = 16 + bloom_words * sizeof(ElfW(Addr));
  const std::uint64_t chain_offset = bucket_offset + buckets * 4;
  std::uint64_t index = read<std::uint32_t>(table, bucket_offset + hash % buckets * 4, kWhat);
  if (index == 0) return false;
  if (index < first) throw_corrupt("hash table makes no sense");
  for (;; ++index) {
    const auto chained = read<std::uint32_t>(table, chain_offset + (index - first) * 4, kWhat);
    if ((chained | 1u) == (hash | 1u) && defines(index, symbol)) return true;
    if ((chained & 1u) != 0) return false;
  }
}

// Layout: {buckets, chains}, buckets, chains; a chain ends at symbol 0.
bool ElfFile::exports_by_sysv_hash(std::string_view symbol) const {
  constexpr auto kWhat = "hash table";
  const auto table = at_address(dynamic(DT_HASH), kWhat);
  const std::uint64_t buckets = read<std::uint32_t>(table, 0, kWhat);
  const std::uint64_t chains = read<std::uint32_t>(table, 4, kWhat);
  if (buckets == 0) return false;
  // Else a chain that closes in a ring would be walked for as long as the count says.
  if (chains > table.size() / 4) throw_corrupt("hash table out of bounds");
  std::uint64_t index = read<std::uint32_t>(table, 8 + sysv_hash(symbol) % buckets * 4, kWhat);
  for (std::uint64_t steps = 0; index != 0; ++steps) {
    if (steps == chains || index >= chains) throw_corrupt("hash table makes no sense");
    if (defines(index, symbol)) return true;
    index = read<std::uint32_t>(table, 8 + (buckets + index) * 4, kWhat);
  }
  return false;
}

std::vector<std::string> ElfFile::needed() const {
  std::vector<std::string> names;
  for (const auto& entry : dynamic_) {
    if (entry.d_tag == DT_NEEDED) names.emplace_back(string(entry.d_un.d_val));
  }
  return names;
}

std::string ElfFile::run_path() const {
  for (const auto& entry : dynamic_) {
    if (entry.d_tag == DT_RUNPATH || entry.d_tag == DT_RPATH)
      return std::string(string(entry.d_un.d_val));
  }
  return {};
}

bool ElfFile::names_auditors() const {
  return std::any_of(dynamic_.begin(), dynamic_.end(), [](const ElfW(Dyn) & one) {
    return one.d_tag == DT_AUDIT || one.d_tag == DT_DEPAUDIT;
  });
}

bool ElfFile::has_text_relocations() const {
  const bool tagged = std::any_of(dynamic_.begin(), dynamic_.end(),
                                  [](const ElfW(Dyn) & one) { return one.d_tag == DT_TEXTREL; });
  return tagged || (dynamic(DT_FLAGS) & DF_TEXTREL) != 0;
}

}  // namespace appserver::plugin
