// Whether a file would be taken as a plugin, thing by thing: what `appserverctl check` prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "plugin/note.hpp"

namespace appserver::plugin {

enum class Verdict : std::uint8_t { ok, info, bad };

struct Finding {
  std::string field;  // "machine"
  std::string value;  // may hold anything that stands in the file
  Verdict verdict = Verdict::info;
  std::string advice = {};  // the way out; empty where nothing is to be done
};

// Everything that can be said of a file's content, not only the first mistake. One is bad if and
// only if inspect() refuses the content. Time and memory are bounded as there.
std::vector<Finding> examine(std::span<const std::byte> content,
                             std::uint32_t host_flags = plugin::host_flags());

// The same for a file, with its size and SHA-256, and with the libraries and symbols that the
// dynamic loader finds for it here and now (loader_trace.hpp). Runs no code of it. Throws
// os::SystemError where the file cannot be read, or the loader cannot be asked.
std::vector<Finding> examine_file(const std::filesystem::path& file);

std::size_t count_problems(std::span<const Finding> findings);

}  // namespace appserver::plugin
