#include "plugin/report.hpp"

#include <appserver/abi.h>
#include <appserver/abi/note.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "os/error.hpp"
#include "os/fd.hpp"
#include "plugin/bad_plugin.hpp"
#include "plugin/demangle.hpp"
#include "plugin/elf_file.hpp"
#include "plugin/inspect.hpp"
#include "plugin/loader_trace.hpp"
#include "plugin/mapping.hpp"
#include "plugin/sha256.hpp"
#include "plugin/snapshot.hpp"

namespace appserver::plugin {
namespace {

using Findings = std::vector<Finding>;

constexpr const char* kBuildRight = "build it with appserver_add_plugin";
// A library that is missing leaves hundreds of symbols undefined, which says nothing new.
constexpr std::size_t kMaxSymbols = 20;

void add_ok(Findings& findings, std::string field, std::string value) {
  findings.push_back({std::move(field), std::move(value), Verdict::ok});
}

void add_info(Findings& findings, std::string field, std::string value, std::string advice = {}) {
  findings.push_back({std::move(field), std::move(value), Verdict::info, std::move(advice)});
}

void add_bad(Findings& findings, std::string field, std::string value, std::string advice) {
  findings.push_back({std::move(field), std::move(value), Verdict::bad, std::move(advice)});
}

// The texts of this room are "what is wrong; the way out".
void add_bad(Findings& findings, std::string field, std::string_view what) {
  constexpr std::string_view kSeparator = "; ";
  const auto end = what.find(kSeparator);
  const auto advice = end == std::string_view::npos ? "" : what.substr(end + kSeparator.size());
  add_bad(findings, std::move(field), std::string(what.substr(0, end)), std::string(advice));
}

// What `look` finds; its refusal is a finding.
template <typename Look>
void look_at(Findings& findings, const char* field, Look&& look) {
  try {
    look();
  } catch (const BadPlugin& error) {
    add_bad(findings, field, error.what());
  }
}

void look_at_target(Findings& findings, std::span<const std::byte> content) {
  const auto target = read_elf_target(content);
  if (!target) return;
  const std::string_view kind = target->kind;
  if (target->is_shared_object) {
    add_ok(findings, "kind", std::string(kind));
  } else {
    add_bad(findings, "kind", fmt::format("{}, not a shared object", kind), kBuildRight);
  }
  if (target->is_ours) {
    add_ok(findings, "machine", target->machine);
  } else {
    add_bad(findings, "machine",
            fmt::format("{}; this machine is {}", target->machine, our_machine()),
            "build it for this machine");
  }
}

std::string name_flags(std::uint32_t flags) {
  const bool asan = (flags & APPSERVER_NOTE_FLAG_ASAN) != 0;
  const bool tsan = (flags & APPSERVER_NOTE_FLAG_TSAN) != 0;
  if (asan && tsan) return "AddressSanitizer, ThreadSanitizer";
  if (asan) return "AddressSanitizer";
  return tsan ? "ThreadSanitizer" : "no sanitizer";
}

void look_at_abi(Findings& findings, Abi abi) {
  try {
    check_abi(abi);
    add_ok(findings, "ABI",
           fmt::format("{}.{}; this appserverd has {}.{}", abi.major, abi.minor,
                       APPSERVER_ABI_MAJOR, APPSERVER_ABI_MINOR));
  } catch (const BadPlugin& error) {
    add_bad(findings, "ABI", error.what());
  }
}

void look_at_note(Findings& findings, std::span<const std::byte> body, std::uint32_t host_flags) {
  look_at(findings, "note", [&] {
    const auto abi = read_abi(body);
    add_ok(findings, "note", APPSERVER_NOTE_SECTION);
    look_at_abi(findings, abi);
    // Another major's note has another layout.
    if (abi.major != APPSERVER_ABI_MAJOR) return;
    const auto note = parse_note(body);
    add_ok(findings, "name", note.name);
    add_info(findings, "version", note.version);
    add_info(findings, "SDK", note.sdk);
    try {
      check_sanitizers(note.flags, host_flags);
      add_info(findings, "built with", name_flags(note.flags));
    } catch (const BadPlugin& error) {
      add_bad(findings, "built with", error.what());
    }
  });
}

void look_at_linking(Findings& findings, const ElfFile& elf) {
  look_at(findings, "symbol", [&] {
    if (elf.exports(APPSERVER_PLUGIN_SYMBOL)) {
      add_ok(findings, "symbol", APPSERVER_PLUGIN_SYMBOL);
    } else {
      add_bad(findings, "symbol", "it does not export " APPSERVER_PLUGIN_SYMBOL, kBuildRight);
    }
  });
  look_at(findings, "run path", [&] {
    const auto path = elf.run_path();
    if (path.empty()) {
      add_ok(findings, "run path", "none");
    } else {
      add_bad(findings, "run path", fmt::format("{}, which does not hold for a stored copy", path),
              "link those libraries statically or install them system-wide, and build with "
              "appserver_add_plugin");
    }
  });
  if (elf.has_text_relocations()) {
    add_bad(findings, "relocations", "in its code, which hardened systems refuse to load",
            "build all of it with -fPIC");
  } else {
    add_ok(findings, "relocations", "none in its code");
  }
  look_at(findings, "needs", [&] {
    std::string names;
    for (const auto& name : elf.needed()) names += (names.empty() ? "" : ", ") + name;
    add_info(findings, "needs", names.empty() ? "none" : names);
  });
}

void look_at_notes(Findings& findings, const ElfFile& elf, std::uint32_t host_flags) {
  look_at(findings, "note", [&] {
    const auto notes = elf.notes();
    std::vector<std::span<const std::byte>> ours;
    for (const auto& note : notes) {
      if (note.owner == APPSERVER_NOTE_OWNER && note.type == APPSERVER_NOTE_TYPE)
        ours.push_back(note.body);
    }
    if (ours.size() == 1) {
      look_at_note(findings, ours.front(), host_flags);
    } else if (ours.empty()) {
      add_bad(findings, "note", "no " APPSERVER_NOTE_SECTION ": not an appserverd plugin",
              kBuildRight);
    } else {
      add_bad(findings, "note", fmt::format("{} " APPSERVER_NOTE_SECTION " notes", ours.size()),
              "use APPSERVER_PLUGIN in one source file only");
    }
    const auto id = find_build_id(notes);
    add_info(findings, "build-id", id.empty() ? "none" : id);
  });
}

Findings examine_content(std::span<const std::byte> content, std::uint32_t host_flags,
                         std::optional<ElfFile>& elf) {
  Findings findings;
  look_at_target(findings, content);
  try {
    elf.emplace(content);
  } catch (const BadPlugin& error) {
    // The kind and the machine may have said it already.
    if (count_problems(findings) == 0) add_bad(findings, "content", error.what());
    return findings;
  }
  look_at_notes(findings, *elf, host_flags);
  look_at_linking(findings, *elf);
  return findings;
}

bool is_needed(const ElfFile& elf, const std::string& library) {
  const auto needed = elf.needed();
  return std::ranges::find(needed, library) != needed.end();
}

void add_libraries(Findings& findings, const LoaderTrace& trace, const ElfFile& elf) {
  for (const auto& library : trace.libraries) {
    if (!library.path.empty()) {
      add_ok(findings, "library", fmt::format("{} is {}", library.name, library.path));
    } else {
      add_bad(findings, "library",
              fmt::format("{} is not found{}", library.name,
                          is_needed(elf, library.name) ? "" : ", which another library needs"),
              "install that library on this machine, or link it statically");
    }
  }
  for (const auto& version : trace.versions)
    add_bad(findings, "library", version, "build the plugin on a system as old as this one");
}

void add_symbols(Findings& findings, const LoaderTrace& trace) {
  std::size_t missing = 0;
  for (const auto& symbol : trace.undefined) {
    // The worker is of the same build as this program, and what it has loaded is there for plugins.
    if (::dlsym(RTLD_DEFAULT, symbol.c_str()) != nullptr) {
      add_info(findings, "symbol",
               fmt::format("{} is defined by no library of the plugin, but by one of appserverd's",
                           demangled(symbol)),
               "link the library that defines it");
      continue;
    }
    if (++missing > kMaxSymbols) continue;
    add_bad(findings, "symbol", fmt::format("{} is defined nowhere", demangled(symbol)),
            "link what defines it into the plugin");
  }
  if (missing > kMaxSymbols) {
    add_bad(findings, "symbol", fmt::format("and {} others", missing - kMaxSymbols),
            "link what defines them into the plugin");
  }
}

void ask_loader(Findings& findings, const std::filesystem::path& file, const ElfFile& elf) {
  if (elf.names_auditors()) {
    add_info(findings, "loader",
             "not asked for libraries and symbols: the file names auditing libraries, which it "
             "would run",
             "link without --audit and --depaudit");
    return;
  }
  const auto trace = trace_loader(file);
  add_libraries(findings, trace, elf);
  add_symbols(findings, trace);
  if (!trace.failure.empty())
    add_bad(findings, "loader", trace.failure, "build the plugin again; is it corrupt?");
}

// A copy of the file that nobody else changes, in memory.
os::Fd copy_of(const std::filesystem::path& file) {
  os::Fd copy(os::check(::memfd_create("plugin", MFD_CLOEXEC), "memfd_create(\"plugin\")"));
  take_snapshot(file, copy.get());
  return copy;
}

}  // namespace

std::size_t count_problems(std::span<const Finding> findings) {
  return static_cast<std::size_t>(std::ranges::count(findings, Verdict::bad, &Finding::verdict));
}

Findings examine(std::span<const std::byte> content, std::uint32_t host_flags) {
  std::optional<ElfFile> elf;
  return examine_content(content, host_flags, elf);
}

Findings examine_file(const std::filesystem::path& file) {
  Findings findings;
  os::Fd copy;
  try {
    copy = copy_of(file);
  } catch (const BadPlugin& error) {
    add_bad(findings, "file", error.what());
    return findings;
  }
  const auto size = os::check(::lseek(copy.get(), 0, SEEK_END), "lseek(fd {})", copy.get());
  add_ok(findings, "file", fmt::format("{} bytes", size));
  add_info(findings, "SHA-256", sha256(copy.get()));
  const Mapping mapping(copy.get(), static_cast<std::uint64_t>(size));
  std::optional<ElfFile> elf;
  auto content = examine_content(mapping.bytes(), host_flags(), elf);
  std::ranges::move(content, std::back_inserter(findings));
  if (elf) ask_loader(findings, file, *elf);
  return findings;
}

}  // namespace appserver::plugin
