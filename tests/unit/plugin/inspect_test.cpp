#include "plugin/inspect.hpp"

#include <appserver/abi.h>
#include <appserver/abi/note.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <random>

#include "files.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/elf_file.hpp"

using namespace appserver;
using namespace appserver::plugin::test;
using plugin::inspect;

namespace {

std::string refusal(std::string_view file, std::uint32_t host_flags = plugin::host_flags()) {
  try {
    inspect(bytes(file), host_flags);
  } catch (const plugin::BadPlugin& error) {
    return error.what();
  }
  return "";
}

template <typename T>
T get(const std::string& file, std::size_t offset) {
  T value;
  std::memcpy(&value, file.data() + offset, sizeof(value));
  return value;
}

template <typename T>
void put(std::string& file, std::size_t offset, const T& value) {
  std::memcpy(file.data() + offset, &value, sizeof(value));
}

std::string with_header(std::string file, const std::function<void(ElfW(Ehdr) &)>& change) {
  auto header = get<ElfW(Ehdr)>(file, 0);
  change(header);
  put(file, 0, header);
  return file;
}

std::string with_segment(std::string file, ElfW(Word) type,
                         const std::function<void(ElfW(Phdr) &)>& change) {
  const auto header = get<ElfW(Ehdr)>(file, 0);
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    const auto offset = header.e_phoff + i * sizeof(ElfW(Phdr));
    auto segment = get<ElfW(Phdr)>(file, offset);
    if (segment.p_type != type) continue;
    change(segment);
    put(file, offset, segment);
    return file;
  }
  throw std::runtime_error("no such segment");
}

std::string with_dynamic(std::string file, ElfW(Sxword) tag,
                         const std::function<void(ElfW(Dyn) &)>& change) {
  ElfW(Phdr) table{};
  with_segment(file, PT_DYNAMIC, [&](ElfW(Phdr) & segment) { table = segment; });
  for (std::size_t offset = table.p_offset; offset < table.p_offset + table.p_filesz;
       offset += sizeof(ElfW(Dyn))) {
    auto entry = get<ElfW(Dyn)>(file, offset);
    if (entry.d_tag != tag) continue;
    change(entry);
    put(file, offset, entry);
    return file;
  }
  throw std::runtime_error("no such entry");
}

std::size_t note_offset(const std::string& file) {
  const std::uint32_t magic = APPSERVER_NOTE_MAGIC;
  char text[sizeof(magic)];
  std::memcpy(text, &magic, sizeof(magic));
  return file.find(std::string_view(text, sizeof(text)));
}

std::string with_note(std::string file, const std::function<void(appserver_note_body&)>& change) {
  auto note = get<appserver_note_body>(file, note_offset(file));
  change(note);
  put(file, note_offset(file), note);
  return file;
}

}  // namespace

TEST_CASE("a plugin's file tells its name, version, ABI, build-id and libraries") {
  const auto file = inspect(bytes(read(fixture("answers"))));
  CHECK(file.name == "answers");
  CHECK(file.version == "1.0.0");
  CHECK(file.sdk == APPSERVER_SDK_VERSION);
  CHECK(file.abi_major == APPSERVER_ABI_MAJOR);
  CHECK(file.abi_minor == APPSERVER_ABI_MINOR);
  CHECK(file.flags == plugin::host_flags());
  CHECK(file.build_id.size() == 40);
  CHECK(file.build_id.find_first_not_of("0123456789abcdef") == std::string::npos);
  REQUIRE(std::find(file.needed.begin(), file.needed.end(), "libc.so.6") != file.needed.end());
}

TEST_CASE("a plugin built for ABI 1.0 is accepted as such") {
  const auto file = inspect(bytes(read(fixture("frozen_1_0"))));
  CHECK(file.abi_major == 1);
  CHECK(file.abi_minor == 0);
}

TEST_CASE("a plugin that is bad only once it runs passes inspection") {
  const auto* name = GENERATE("undefined_symbol", "throws_in_static_init", "crashes_in_static_init",
                              "fails_at_start", "unstable");
  REQUIRE(inspect(bytes(read(fixture(name)))).name == name);
}

TEST_CASE("each fixture that inspection can refuse is refused with its reason") {
  CHECK(refusal(read(fixture("no_note"))) ==
        "not an appserverd plugin: no .note.appserver; build it with appserver_add_plugin");
  CHECK(refusal(read(fixture("wrong_abi_major"))) ==
        "built for ABI 2.0, this appserverd has ABI 1.1; build it with the SDK of this appserverd");
  CHECK(refusal(read(fixture("newer_abi_minor"))) ==
        "built for ABI 1.999, newer than the 1.1 of this appserverd; update appserverd, or build "
        "the plugin with the SDK of this one");
  CHECK(refusal(read(fixture("no_symbol"))) ==
        "it does not export appserver_plugin_v1; build it with appserver_add_plugin");
  CHECK(refusal(read(fixture("with_runpath"))) ==
        "it was linked with an RPATH or RUNPATH (/opt/shop/lib), which does not hold for a stored "
        "copy; link those libraries statically or install them system-wide, and build with "
        "appserver_add_plugin");
}

TEST_CASE("what is no ELF shared object is refused by name") {
  CHECK(refusal("") == "the file is empty; is it still being copied?");
  CHECK(refusal("#!/bin/sh\n") == "not an ELF shared object; build it with appserver_add_plugin");
  CHECK(refusal("!<arch>\n") == "not an ELF shared object; build it with appserver_add_plugin");
  const auto good = read(fixture("answers"));
  const auto of_type = [&](ElfW(Half) type) {
    return refusal(with_header(good, [&](ElfW(Ehdr) & header) { header.e_type = type; }));
  };
  CHECK(of_type(ET_EXEC) ==
        "not a shared object but a program; build it with appserver_add_plugin");
  CHECK(of_type(ET_REL) ==
        "not a shared object but an object file that was not linked; build it with "
        "appserver_add_plugin");
  CHECK(of_type(ET_CORE) ==
        "not a shared object but a core dump; build it with appserver_add_plugin");
  CHECK(refusal(read("/proc/self/exe")).find("not a shared object but a program") == 0);
}

TEST_CASE("a plugin for another machine is refused, naming both machines") {
  const auto good = read(fixture("answers"));
  const auto changed = [&](const std::function<void(ElfW(Ehdr)&)>& change) {
    return refusal(with_header(good, change));
  };
  const auto is_x86_64 = get<ElfW(Ehdr)>(good, 0).e_machine == EM_X86_64;
  const std::string ours = is_x86_64 ? "x86-64" : "aarch64";
  const std::string other = is_x86_64 ? "aarch64" : "x86-64";
  CHECK(changed([&](ElfW(Ehdr) & header) {
          header.e_machine = is_x86_64 ? EM_AARCH64 : EM_X86_64;
        }) == "built for " + other + ", this machine is " + ours + "; build it for this machine");
  CHECK(changed([](ElfW(Ehdr) & header) { header.e_ident[EI_CLASS] = ELFCLASS32; }) ==
        "built for " + ours + " (32-bit), this machine is " + ours + "; build it for this machine");
  CHECK(changed([](ElfW(Ehdr) & header) {
          header.e_ident[EI_DATA] = ELFDATA2MSB;
          header.e_machine = __builtin_bswap16(EM_PPC64);
        }) ==
        "built for ppc64 (big-endian), this machine is " + ours + "; build it for this machine");
}

TEST_CASE("text relocations are refused") {
  const auto file = with_dynamic(read(fixture("answers")), DT_FLAGS,
                                 [](ElfW(Dyn) & entry) { entry.d_un.d_val |= DF_TEXTREL; });
  REQUIRE(refusal(file) ==
          "it has text relocations, which hardened systems refuse to load; build all of it with "
          "-fPIC");
}

TEST_CASE("a plugin with a sanitizer that the host lacks is refused") {
  const auto with_flags = [](std::uint32_t flags) {
    return with_note(read(fixture("answers")),
                     [&](appserver_note_body& note) { note.flags = flags; });
  };
  CHECK(refusal(with_flags(APPSERVER_NOTE_FLAG_ASAN), 0) ==
        "built with AddressSanitizer, this appserverd was not; build both the same way");
  CHECK(refusal(with_flags(APPSERVER_NOTE_FLAG_TSAN), APPSERVER_NOTE_FLAG_ASAN) ==
        "built with ThreadSanitizer, this appserverd was not; build both the same way");
  CHECK(refusal(with_flags(0), APPSERVER_NOTE_FLAG_ASAN).empty());
  CHECK(refusal(with_flags(APPSERVER_NOTE_FLAG_ASAN), APPSERVER_NOTE_FLAG_ASAN).empty());
}

TEST_CASE("a file that is cut short anywhere is refused") {
  const auto good = read(fixture("answers"));
  for (std::size_t size = 0; size < good.size(); size += size < 4096 ? 1 : 61) {
    INFO("cut to " << size << " bytes");
    // Copied to its own memory, so that a read past the cut is seen by the sanitizer.
    const std::string cut = std::string(good, 0, size);
    const auto reason = refusal(cut);
    REQUIRE(reason.find("is it still being copied?") != std::string::npos);
  }
  REQUIRE(refusal(good.substr(0, good.size() - 1)) ==
          "the file is cut short (it has " + std::to_string(good.size() - 1) +
              " bytes and needs at least " + std::to_string(good.size()) +
              "); is it still being copied?");
}

TEST_CASE("sizes and offsets near the end of the number range are refused, not wrapped around") {
  const auto good = read(fixture("answers"));
  const auto value = GENERATE(UINT64_MAX, UINT64_MAX - 63, UINT64_MAX / 2, std::uint64_t{1} << 32);
  CHECK(!refusal(with_header(good, [&](ElfW(Ehdr) & header) { header.e_phoff = value; })).empty());
  CHECK(!refusal(with_header(good, [&](ElfW(Ehdr) & header) { header.e_shoff = value; })).empty());
  for (const auto type : {PT_LOAD, PT_DYNAMIC, PT_NOTE}) {
    const auto changed = [&](const std::function<void(ElfW(Phdr)&)>& change) {
      return refusal(with_segment(good, static_cast<ElfW(Word)>(type), change));
    };
    CHECK(!changed([&](ElfW(Phdr) & segment) { segment.p_offset = value; }).empty());
    CHECK(!changed([&](ElfW(Phdr) & segment) { segment.p_filesz = value; }).empty());
  }
  for (const auto tag : {DT_STRTAB, DT_SYMTAB, DT_GNU_HASH, DT_STRSZ, DT_NEEDED}) {
    CHECK(!refusal(with_dynamic(good, tag, [&](ElfW(Dyn) & entry) {
             entry.d_un.d_val = value;
           })).empty());
  }
}

TEST_CASE("damage anywhere in a plugin is read or refused, and nothing worse") {
  const auto good = read(fixture(GENERATE("answers", "sysv_hash")));
  std::mt19937 random(GENERATE(1u, 2u));
  // What inspection reads lies in the first pages, the dynamic section and the ends of the file.
  for (int i = 0; i < 20000; ++i) {
    auto file = good;
    const auto changes = 1 + random() % 8;
    const auto reach = random() % 2 == 0 ? std::size_t{2048} : file.size();
    for (unsigned change = 0; change < changes; ++change) {
      constexpr std::array<unsigned, 4> kEdges = {0x00, 0xff, 0x7f, 0x80};
      const auto value = random() % 2 == 0 ? kEdges[random() % 4] : random() % 256;
      file[random() % reach] = static_cast<char>(value);
    }
    static_cast<void>(refusal(file));
  }
  SUCCEED();
}

TEST_CASE("only what a plugin defines and exports counts as exported") {
  const auto file = read(fixture("undefined_symbol"));
  const plugin::ElfFile elf(bytes(file));
  CHECK(elf.exports(APPSERVER_PLUGIN_SYMBOL));
  CHECK_FALSE(elf.exports("_ZN4shop5priceEi"));
  CHECK_FALSE(elf.exports("appserver_plugin_v2"));
  CHECK_FALSE(elf.exports(""));
}

TEST_CASE("a hash table whose chain is a ring is not walked for ever") {
  auto file = read(fixture("sysv_hash"));
  std::uint64_t address = 0;
  with_dynamic(file, DT_HASH, [&](ElfW(Dyn) & entry) { address = entry.d_un.d_val; });
  // The first segment starts at 0 in both. {buckets, chains}, buckets, chains.
  const auto buckets = get<std::uint32_t>(file, address);
  put(file, address + 4, std::uint32_t{UINT32_MAX});
  for (std::uint32_t i = 0; i < buckets; ++i) put(file, address + 8 + i * 4, std::uint32_t{1});
  put(file, address + 8 + (buckets + 1) * 4, std::uint32_t{1});
  put(file, address + 8 + buckets * 4, std::uint32_t{1});
  CHECK_THROWS_WITH(plugin::ElfFile(bytes(file)).exports("nothing"),
                    "the ELF file is corrupt (hash table out of bounds); build or copy it again");
  put(file, address + 4, std::uint32_t{16});
  CHECK_THROWS_WITH(plugin::ElfFile(bytes(file)).exports("nothing"),
                    "the ELF file is corrupt (hash table makes no sense); build or copy it again");
}

TEST_CASE("exported symbols are found through the older kind of hash table too") {
  const auto file = read(fixture("sysv_hash"));
  const plugin::ElfFile elf(bytes(file));
  CHECK(inspect(bytes(file)).name == "sysv_hash");
  CHECK_FALSE(elf.exports("appserver_plugin_v2"));
  CHECK_FALSE(elf.exports("memcpy"));
  for (const auto value : {UINT64_MAX, std::uint64_t{1} << 32}) {
    const auto change = [&](ElfW(Dyn) & entry) { entry.d_un.d_val = value; };
    CHECK(refusal(with_dynamic(file, DT_HASH, change)) ==
          "the ELF file is corrupt (hash table out of bounds); build or copy it again");
  }
}
