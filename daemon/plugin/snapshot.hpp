// A copy of a file that others may be writing at the same time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace appserver::plugin {

// Plugins are smaller by a hundred times; the bound keeps a wrong file from filling the disk.
constexpr std::uint64_t kMaxPluginSize = std::uint64_t{1} << 30;

// Writes the content of `from`, at most `size` bytes of it, to the empty file `to`.
using CopyContent = std::function<void(int from, int to, std::uint64_t size)>;

// By reflink, within the kernel, or by read and write: whichever the file systems can do first.
// Throws os::SystemError.
void copy_content(int from, int to, std::uint64_t size);

// Fills the empty file `target` with `source` as it was at one moment: a copy during which the
// source's size or time stamps moved is thrown away and made again, three times at most. Follows
// symbolic links. Waits for a clock tick (10 ms at most) if the source was changed just now, since
// a further change within the tick could not be seen. A writer that pauses in the middle shows in
// no time stamp: that the content is complete is for inspect() to find. Throws BadPlugin if the
// source keeps changing, is no regular file or is too large; os::SystemError for failed calls.
void take_snapshot(const std::filesystem::path& source, int target,
                   const CopyContent& copy = copy_content);

}  // namespace appserver::plugin
