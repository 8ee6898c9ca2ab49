// Writing a file whole or not at all. (Reading one is read_file() in os/fd.hpp.)
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace appserver::os {

// The prefix of the temporary files beside the target, for who tidies up after a kill.
inline constexpr std::string_view kTemporaryPrefix = ".incoming-";

// Writes `content` to a temporary file beside `target`, fsyncs it, renames it over `target` and
// fsyncs the folder: whoever looks, also after a power cut, sees the old content or the new. `mode`
// holds whatever the umask. Throws SystemError naming the target; then nothing is left behind and
// the target is as before. (Only where the fsync of the folder fails, on a disk that breaks, the
// new content is there, but may not outlast a power cut.)
void write_file(const std::filesystem::path& target, std::string_view content, mode_t mode);

// Removes temporary files that a killed process left in `directory`. Nobody may be writing there.
// Throws SystemError.
void remove_temporaries(const std::filesystem::path& directory);

// What the owner of a folder may do there.
enum class Access { write, read_only };

// Why a file of 64 KiB cannot be written in `directory`, in the words of the system; empty where it
// can. It is removed again.
std::string why_not_writable(const std::filesystem::path& directory);

}  // namespace appserver::os
