#include "plugin/report.hpp"

#include <appserver/abi.h>
#include <appserver/abi/note.h>
#include <link.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <random>

#include "files.hpp"
#include "os/error.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/inspect.hpp"
#include "plugin/loader_trace.hpp"

using namespace appserver;
using namespace appserver::plugin::test;
using plugin::count_problems;
using plugin::examine;
using plugin::examine_file;
using plugin::Finding;
using plugin::Verdict;
using Findings = std::vector<Finding>;

namespace {

std::string word_for(Verdict verdict) {
  if (verdict == Verdict::ok) return "ok";
  return verdict == Verdict::bad ? "bad" : "info";
}

// "verdict: value; advice" of a field; empty without it.
std::string find(const Findings& findings, const std::string& field) {
  const auto found = std::ranges::find(findings, field, &Finding::field);
  if (found == findings.end()) return "";
  const auto advice = found->advice.empty() ? "" : "; " + found->advice;
  return word_for(found->verdict) + ": " + found->value + advice;
}

std::string problems(const Findings& findings) {
  std::string text;
  for (const auto& finding : findings) {
    if (finding.verdict == Verdict::bad) text += finding.field + ": " + finding.value + "\n";
  }
  return text;
}

bool has_ok(const Findings& findings, const std::string& field, const std::string& start) {
  return std::ranges::any_of(findings, [&](const Finding& finding) {
    return finding.field == field && finding.verdict == Verdict::ok &&
           finding.value.starts_with(start);
  });
}

bool is_refused(std::span<const std::byte> content) {
  try {
    plugin::inspect(content);
    return false;
  } catch (const plugin::BadPlugin&) {
    return true;
  }
}

std::string with_note(std::string file, const std::function<void(appserver_note_body&)>& change) {
  const std::uint32_t magic = APPSERVER_NOTE_MAGIC;
  std::string start(sizeof(magic), '\0');
  std::memcpy(start.data(), &magic, sizeof(magic));
  const auto offset = file.find(start);
  appserver_note_body note{};
  std::memcpy(&note, file.data() + offset, sizeof(note));
  change(note);
  std::memcpy(file.data() + offset, &note, sizeof(note));
  return file;
}

}  // namespace

TEST_CASE("a good plugin is reported field by field, and everything fits") {
  const auto file = fixture("answers");
  const auto findings = examine_file(file);
  CHECK(problems(findings).empty());
  CHECK(find(findings, "file") ==
        "ok: " + std::to_string(std::filesystem::file_size(file)) + " bytes");
  CHECK(find(findings, "SHA-256").size() == std::string("info: ").size() + 64);
  CHECK(find(findings, "kind") == "ok: shared object");
  CHECK(find(findings, "machine").starts_with("ok: "));
  CHECK(find(findings, "note") == "ok: .note.appserver");
  CHECK(find(findings, "name") == "ok: answers");
  CHECK(find(findings, "version") == "info: 1.0.0");
  CHECK(find(findings, "SDK") == "info: " APPSERVER_SDK_VERSION);
  CHECK(find(findings, "ABI") == "ok: 1.1; this appserverd has 1.1");
  CHECK(find(findings, "build-id").size() == std::string("info: ").size() + 40);
  CHECK(find(findings, "symbol") == "ok: appserver_plugin_v1");
  CHECK(find(findings, "run path") == "ok: none");
  CHECK(find(findings, "relocations") == "ok: none in its code");
  CHECK(has_ok(findings, "library", "libc.so.6 is /"));
}

TEST_CASE("a plugin of the older ABI fits, and both versions are said") {
  CHECK(find(examine_file(fixture("frozen_1_0")), "ABI") == "ok: 1.0; this appserverd has 1.1");
}

TEST_CASE("each fixture that would be refused is reported with its way out") {
  CHECK(find(examine_file(fixture("no_note")), "note") ==
        "bad: no .note.appserver: not an appserverd plugin; build it with appserver_add_plugin");
  CHECK(find(examine_file(fixture("newer_abi_minor")), "ABI") ==
        "bad: built for ABI 1.999, newer than the 1.1 of this appserverd; update appserverd, or "
        "build the plugin with the SDK of this one");
  CHECK(find(examine_file(fixture("wrong_abi_major")), "ABI") ==
        "bad: built for ABI 2.0, this appserverd has ABI 1.1; build it with the SDK of this "
        "appserverd");
  CHECK(find(examine_file(fixture("no_symbol")), "symbol") ==
        "bad: it does not export appserver_plugin_v1; build it with appserver_add_plugin");
  CHECK(find(examine_file(fixture("with_runpath")), "run path")
            .starts_with("bad: /opt/shop/lib, which does not hold for a stored copy; link those"));
}

TEST_CASE("all mistakes of a file are reported at once") {
  const Folder folder;
  const auto bad = with_note(read(fixture("with_runpath")), [](appserver_note_body& note) {
    note.abi_minor = 999;
    note.flags = APPSERVER_NOTE_FLAG_ASAN | APPSERVER_NOTE_FLAG_TSAN;
  });
  const auto findings = examine_file(write(folder / "bad.so", bad));
  CHECK(count_problems(findings) == 3);
  CHECK(find(findings, "ABI").starts_with("bad: built for ABI 1.999"));
  CHECK(find(findings, "built with").starts_with("bad: built with "));
  CHECK(find(findings, "run path").starts_with("bad: /opt/shop/lib"));
}

TEST_CASE("an undefined symbol is reported as it stands in the source, without loading the file") {
  const auto findings = examine_file(fixture("undefined_symbol"));
  CHECK(problems(findings) == "symbol: shop::price(int) is defined nowhere\n");
}

TEST_CASE("a missing library is reported by its name") {
  const auto findings = examine_file(fixture("needs_absent_library"));
  CHECK(problems(findings) ==
        "library: libappserver_absent.so is not found\n"
        "symbol: absent_price is defined nowhere\n");
}

TEST_CASE("a symbol that only appserverd itself has is no mistake, but said") {
  const auto findings = examine_file(fixture("borrows_symbol"));
  CHECK(count_problems(findings) == 0);
  const auto said = std::ranges::find_if(findings, [](const Finding& finding) {
    return finding.value.starts_with("EVP_sha256 is defined by no library of the plugin");
  });
  REQUIRE(said != findings.end());
  CHECK(said->verdict == Verdict::info);
  CHECK(said->advice == "link the library that defines it");
}

TEST_CASE("a file that names auditors is not given to the loader, which would run them") {
  const Folder folder;
  auto file = read(fixture("needs_absent_library"));
  // The first entry becomes one for an auditor.
  ElfW(Ehdr) header{};
  std::memcpy(&header, file.data(), sizeof(header));
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    ElfW(Phdr) segment{};
    std::memcpy(&segment, file.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    const ElfW(Sxword) tag = DT_AUDIT;
    if (segment.p_type == PT_DYNAMIC)
      std::memcpy(file.data() + segment.p_offset, &tag, sizeof(tag));
  }
  const auto findings = examine_file(write(folder / "audited.so", file));
  CHECK(count_problems(findings) == 0);
  CHECK(find(findings, "library").empty());
  CHECK(find(findings, "loader").starts_with("info: not asked for libraries and symbols"));
}

TEST_CASE("no code of a file runs when it is examined") {
  const auto* name =
      GENERATE("crashes_in_static_init", "throws_in_static_init", "crashes_in_resolver");
  CAPTURE(name);
  CHECK(problems(examine_file(fixture(name))).empty());
}

TEST_CASE("a file for another machine is reported with both machines") {
  auto file = read(fixture("answers"));
  ElfW(Ehdr) header{};
  std::memcpy(&header, file.data(), sizeof(header));
  const bool is_x86_64 = header.e_machine == EM_X86_64;
  header.e_machine = is_x86_64 ? EM_AARCH64 : EM_X86_64;
  header.e_type = ET_REL;
  std::memcpy(file.data(), &header, sizeof(header));
  const auto findings = examine(bytes(file));
  CHECK(find(findings, "machine") ==
        (is_x86_64 ? "bad: aarch64; this machine is x86-64; build it for this machine"
                   : "bad: x86-64; this machine is aarch64; build it for this machine"));
  CHECK(find(findings, "kind") ==
        "bad: object file that was not linked, not a shared object; build it with "
        "appserver_add_plugin");
}

TEST_CASE("what is no plugin at all is reported as what it is") {
  const Folder folder;
  CHECK(find(examine_file(write(folder / "empty.so", "")), "content") ==
        "bad: the file is empty; is it still being copied?");
  CHECK(find(examine_file(write(folder / "text.so", "#!/bin/sh\n")), "content") ==
        "bad: not an ELF shared object; build it with appserver_add_plugin");
  CHECK(find(examine_file("/proc/self/exe"), "content") ==
        "bad: not a shared object but a program; build it with appserver_add_plugin");
  const auto good = read(fixture("answers"));
  CHECK(find(examine_file(write(folder / "cut.so", good.substr(0, good.size() / 2))), "content")
            .starts_with("bad: the file is cut short"));
  CHECK(find(examine_file(folder / "."), "file") == "bad: not a file but a directory");
  REQUIRE(::mkfifo((folder / "fifo.so").c_str(), 0600) == 0);
  CHECK(find(examine_file(folder / "fifo.so"), "file") == "bad: not a file but a FIFO");
  CHECK_THROWS_AS(examine_file(folder / "absent.so"), os::SystemError);
}

TEST_CASE("a report finds something bad exactly where inspection refuses") {
  const auto good = read(fixture(GENERATE("answers", "sysv_hash")));
  std::mt19937 random(GENERATE(3u, 4u));
  std::size_t refused = 0;
  for (int i = 0; i < 5000; ++i) {
    auto file = good;
    const auto reach = random() % 2 == 0 ? std::size_t{2048} : file.size();
    for (auto changes = 1 + random() % 8; changes > 0; --changes)
      file[random() % reach] = static_cast<char>(random() % 256);
    const bool is_bad = is_refused(bytes(file));
    if (is_bad) ++refused;
    const auto findings = examine(bytes(file));
    INFO(problems(findings));
    REQUIRE((count_problems(findings) > 0) == is_bad);
  }
  CHECK(refused > 100);
  CHECK(refused < 5000);
}

TEST_CASE("what the loader prints is read, also of its older and newer versions") {
  const auto trace = plugin::parse_loader_trace(
      "\tlinux-vdso.so.1 (0x00007fcc99343000)\n"
      "\tlibpq.so.5 => not found\n"
      "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fcc98e1e000)\n"
      "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /tmp/a b.so)\n"
      "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /lib/other.so)\n"
      "undefined symbol: _ZN4shop5priceEi\t(/tmp/x.so)\n"
      "undefined symbol: PQexec, version LIBPQ_5\t(/tmp/x.so)\n"
      "undefined symbol: PQexec, version LIBPQ_5\t(/tmp/y.so)\n"
      "symbol old, version V_1 not defined in file libz.so.1 with link time "
      "reference\t(/tmp/x.so)\n"
      "undefined symbol: last");
  REQUIRE(trace.libraries.size() == 2);
  CHECK(trace.libraries[0].name == "libpq.so.5");
  CHECK(trace.libraries[0].path.empty());
  CHECK(trace.libraries[1].name == "libc.so.6");
  CHECK(trace.libraries[1].path == "/lib/x86_64-linux-gnu/libc.so.6");
  CHECK(trace.versions ==
        std::vector<std::string>{"/lib/libc.so.6: version `GLIBC_2.38' not found"});
  CHECK(trace.undefined == std::vector<std::string>{"_ZN4shop5priceEi", "PQexec", "old", "last"});
  CHECK(trace.failure.empty());
}

TEST_CASE("a loader that takes too long is ended and said to have failed") {
  const auto trace = plugin::trace_loader(fixture("answers"), std::chrono::milliseconds(0));
  CHECK(trace.failure.ends_with(" did not come to an end"));
}
