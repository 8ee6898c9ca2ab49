#include "plugin/symbols.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>

#include "os/error.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/demangle.hpp"
#include "plugin/elf_file.hpp"

namespace appserver::plugin {
namespace {

constexpr std::size_t kMaxSegments = 256;
constexpr std::size_t kMaxSections = 65536;
constexpr std::uint64_t kMaxTable = std::uint64_t{32} << 20;
constexpr std::size_t kMaxName = 4096;

// What there is of these bytes: fewer at the end of the file. With pread(2), not a mapping, which
// would fault if the file were shortened.
std::size_t read_some(int fd, std::uint64_t offset, std::span<std::byte> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const auto at = offset + done;
    if (at < offset || at > std::uint64_t{std::numeric_limits<off_t>::max()}) break;
    const auto rest = into.subspan(done);
    const auto got = os::retry_on_interrupt(
        [&] { return ::pread(fd, rest.data(), rest.size(), static_cast<off_t>(at)); });
    os::check(got, "pread(fd {}, {} bytes at {})", fd, rest.size(), at);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

// As many of `count` entries as the file has, but `most`.
template <typename T>
std::vector<T> read_array(int fd, std::uint64_t offset, std::uint64_t count, std::size_t most) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> entries(static_cast<std::size_t>(std::min<std::uint64_t>(count, most)));
  const auto got = read_some(fd, offset, std::as_writable_bytes(std::span(entries)));
  entries.resize(got / sizeof(T));
  return entries;
}

struct Match {
  std::uint64_t begin = 0;
  std::uint64_t name = 0;
  bool global = false;
  bool found = false;
};

// The innermost function is the one that begins last; of several names for it the exported one is
// better known.
bool is_better(const Match& match, const ElfW(Sym) & symbol, bool global) {
  if (!match.found || symbol.st_value != match.begin)
    return !match.found || symbol.st_value > match.begin;
  return global && !match.global;
}

bool is_function(const ElfW(Sym) & symbol) {
  const auto type = ELF64_ST_TYPE(symbol.st_info);
  return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF;
}

}  // namespace

Symbols::Symbols(int fd) : fd_(fd) {
  const auto headers = read_array<ElfW(Ehdr)>(fd, 0, 1, 1);
  const auto target = read_elf_target(std::as_bytes(std::span(headers)));
  if (!target) throw BadPlugin("not an ELF file");
  if (!target->is_ours) throw BadPlugin("an ELF file for another machine");
  read_segments(headers.front());
  find_table(headers.front());
}

void Symbols::read_segments(const ElfW(Ehdr) & header) {
  if (header.e_phentsize != sizeof(ElfW(Phdr))) throw BadPlugin("an ELF file without segments");
  const auto segments = read_array<ElfW(Phdr)>(fd_, header.e_phoff, header.e_phnum, kMaxSegments);
  const auto first = std::ranges::find(segments, ElfW(Word){PT_LOAD}, &ElfW(Phdr)::p_type);
  if (first == segments.end()) throw BadPlugin("an ELF file without segments");
  first_page_ = first->p_vaddr & ~(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) - 1);
}

void Symbols::find_table(const ElfW(Ehdr) & header) {
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(ElfW(Shdr))) return;
  const auto sections = read_array<ElfW(Shdr)>(fd_, header.e_shoff, header.e_shnum, kMaxSections);
  const auto of_type = [&](ElfW(Word) type) {
    return std::ranges::find(sections, type, &ElfW(Shdr)::sh_type);
  };
  auto found = of_type(SHT_SYMTAB);
  if (found == sections.end()) found = of_type(SHT_DYNSYM);
  if (found == sections.end() || found->sh_link >= sections.size()) return;
  const auto& names = sections[found->sh_link];
  if (found->sh_entsize != sizeof(ElfW(Sym)) || names.sh_type != SHT_STRTAB) return;
  table_ = {found->sh_offset, std::min<std::uint64_t>(found->sh_size, kMaxTable), names.sh_offset,
            names.sh_size};
}

std::uint64_t Symbols::first_page() const { return first_page_; }

std::string Symbols::name_at(std::uint64_t offset) const {
  if (offset >= table_.names_size || table_.names_offset > UINT64_MAX - offset) return {};
  std::array<char, kMaxName> text{};
  const auto wanted = std::min<std::uint64_t>(text.size(), table_.names_size - offset);
  const auto got =
      read_some(fd_, table_.names_offset + offset,
                std::as_writable_bytes(std::span(text)).first(static_cast<std::size_t>(wanted)));
  const auto end = std::find(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(got), '\0');
  return demangled(std::string(text.begin(), end));
}

std::vector<std::string> Symbols::functions_at(std::span<const std::uint64_t> addresses) const {
  constexpr std::size_t kBatch = 8192;
  std::vector<std::size_t> order(addresses.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto address_of = [&](std::size_t index) { return addresses[index]; };
  std::ranges::sort(order, {}, address_of);
  std::vector<Match> matches(addresses.size());
  const auto consider = [&](const ElfW(Sym) & symbol) {
    if (!is_function(symbol)) return;
    const bool global = ELF64_ST_BIND(symbol.st_info) == STB_GLOBAL;
    // Hand-written assembly may give no size.
    const std::uint64_t size = std::max<std::uint64_t>(symbol.st_size, 1);
    auto at = std::ranges::lower_bound(order, symbol.st_value, {}, address_of);
    for (; at != order.end() && addresses[*at] - symbol.st_value < size; ++at) {
      Match& match = matches[*at];
      if (is_better(match, symbol, global)) match = {symbol.st_value, symbol.st_name, global, true};
    }
  };
  const auto count = table_.size / sizeof(ElfW(Sym));
  for (std::uint64_t done = 0; done < count && !addresses.empty();) {
    const auto batch =
        read_array<ElfW(Sym)>(fd_, table_.offset + done * sizeof(ElfW(Sym)), count - done, kBatch);
    if (batch.empty()) break;
    for (const auto& symbol : batch) consider(symbol);
    done += batch.size();
  }
  std::vector<std::string> names(addresses.size());
  for (std::size_t i = 0; i < matches.size(); ++i) {
    if (matches[i].found) names[i] = name_at(matches[i].name);
  }
  return names;
}

}  // namespace appserver::plugin
