#include "plugin/symbols.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "files.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/demangle.hpp"
#include "plugin/load.hpp"

using namespace appserver;
using namespace appserver::plugin::test;
using plugin::Symbols;

namespace {

// Seen from outside, so that it has a name and a frame.
__attribute__((noinline)) int find_me_in_my_own_file(int seed) { return seed + 1; }

std::uint64_t address_of(const void* code) {
  std::uint64_t address = 0;
  std::memcpy(&address, &code, sizeof(address));
  return address;
}

std::uint64_t load_base_of(const void* code) {
  Dl_info info{};
  REQUIRE(::dladdr(code, &info) != 0);
  return address_of(info.dli_fbase);
}

std::vector<std::string> functions(const std::filesystem::path& file,
                                   std::vector<std::uint64_t> addresses) {
  const auto opened = os::open_file(file, O_RDONLY);
  return Symbols(opened.get()).functions_at(addresses);
}

}  // namespace

TEST_CASE("an address within a function gives its name as it stands in the source") {
  int (*const function)(int) = find_me_in_my_own_file;
  const auto* const code = reinterpret_cast<const void*>(function);
  REQUIRE(function(1) == 2);
  const auto opened = os::open_file("/proc/self/exe", O_RDONLY);
  const Symbols symbols(opened.get());
  const auto address = address_of(code) - load_base_of(code) + symbols.first_page();
  const std::vector<std::uint64_t> asked{UINT64_MAX, address, 0, address + 1, address};
  const auto names = symbols.functions_at(asked);
  REQUIRE(names.size() == 5);
  CHECK(names[0].empty());
  CHECK(names[2].empty());
  for (const std::size_t i : {1U, 3U, 4U})
    CHECK(names[i].ends_with("::find_me_in_my_own_file(int)"));
  CHECK(symbols.functions_at({}).empty());
}

TEST_CASE("the hooks of a loaded plugin are found in its file") {
  const auto file = fixture("answers");
  const auto table = plugin::load(file);
  const auto* const code = reinterpret_cast<const void*>(table.create);
  CHECK(functions(file, {address_of(code) - load_base_of(code)}) ==
        std::vector<std::string>{"create"});
}

TEST_CASE("in a library without a full symbol table exported functions are found") {
  const auto* const code = reinterpret_cast<const void*>(&::gnu_get_libc_version);
  Dl_info info{};
  REQUIRE(::dladdr(code, &info) != 0);
  const auto file = std::filesystem::canonical(info.dli_fname);
  CHECK(functions(file, {address_of(code) - load_base_of(code)}) ==
        std::vector<std::string>{"gnu_get_libc_version"});
}

TEST_CASE("what is no ELF file for this machine is refused") {
  const Folder folder;
  const auto refused = [&](std::string_view content) {
    const auto file = os::open_file(write(folder / "file", content), O_RDONLY);
    CHECK_THROWS_AS(Symbols(file.get()), plugin::BadPlugin);
  };
  refused("");
  refused("\177ELF");
  refused("#!/bin/sh\n");
  auto other = read(fixture("answers"));
  other[EI_CLASS] = ELFCLASS32;
  refused(other);
}

TEST_CASE("damage anywhere in a file costs names, and nothing worse") {
  const Folder folder;
  const auto good = read(fixture("answers"));
  std::mt19937 random(11);
  int named = 0;
  std::vector<std::uint64_t> addresses;
  for (std::uint64_t address = 0; address < good.size(); address += 256)
    addresses.push_back(address);
  ElfW(Ehdr) header{};
  std::memcpy(&header, good.data(), sizeof(header));
  for (int i = 0; i < 2000; ++i) {
    auto file = good;
    if (random() % 4 == 0) file.resize(random() % file.size());
    for (int change = 0; change < 16 && !file.empty(); ++change) {
      // The tables that are read lie at both ends.
      const auto near = random() % 2 == 0 ? std::size_t{0} : header.e_shoff;
      const auto at = (near + random() % 2048) % file.size();
      file[at] = static_cast<char>(random() % 2 == 0 ? 0xff : random() % 256);
    }
    const auto opened = os::open_file(write(folder / "file", file), O_RDONLY);
    try {
      const auto names = Symbols(opened.get()).functions_at(addresses);
      REQUIRE(names.size() == addresses.size());
      ++named;
    } catch (const plugin::BadPlugin&) {
      continue;
    }
  }
  CHECK(named > 100);
}

TEST_CASE("C++ names are made readable, and others left as they are") {
  CHECK(plugin::demangled("_ZN4shop5priceEi") == "shop::price(int)");
  CHECK(plugin::demangled("main") == "main");
  CHECK(plugin::demangled("i") == "i");
  CHECK(plugin::demangled("_Zx") == "_Zx");
  CHECK(plugin::demangled("").empty());
}

TEST_CASE("a name that would unfold beyond all bounds is left as it is") {
  std::string name = "_Z1f";
  for (const char* part = "0123456789ABCDEFGHIJ"; *part != '\0'; ++part)
    name += std::string("PFS_S_S") + *part + "_S" + *part + "_E";
  CHECK(plugin::demangled(name) == name);
  CHECK(plugin::demangled("_Z1f" + std::string(2000, 'i')).ends_with("iii"));
}
