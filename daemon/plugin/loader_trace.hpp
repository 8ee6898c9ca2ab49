// What the dynamic loader would make of a shared object, asked without running any of it: ldd -r.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::plugin {

struct LoaderTrace {
  struct Library {
    std::string name;
    std::string path;  // empty: not found
  };
  std::vector<Library> libraries;      // of the file and of its libraries
  std::vector<std::string> undefined;  // symbols, as in the file
  std::vector<std::string> versions;   // "libc.so.6: version `GLIBC_2.38' not found"
  std::string failure;                 // why the loader did not come to an end; empty: it did
};

// Runs the dynamic loader of this process on the file, which must be a whole shared object for this
// machine (ElfFile) and name no auditors: the loader maps it with all its libraries and runs
// neither constructors nor resolvers. Whoever crafts a file may still crash it, and that counts as
// its failure. Blocks until `deadline` at most. Throws os::SystemError where no process can be
// made.
LoaderTrace trace_loader(const std::filesystem::path& file,
                         std::chrono::milliseconds deadline = std::chrono::seconds(10));

// What the loader printed, line by line.
LoaderTrace parse_loader_trace(std::string_view output);

}  // namespace appserver::plugin
