// What a worker leaves to its successor, as a sealed memory file: a header, then the plugin's
// bytes. Written and read by workers; the supervisor looks at seals and size only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace appserver::channel {

struct State {
  std::uint32_t version = 0;  // the plugin's
  std::string bytes;
};

inline constexpr std::size_t kStateHeader = 8;
// Of the plugin's bytes, and of the file.
inline constexpr std::size_t kMaxState = std::size_t{16} << 20;
inline constexpr std::size_t kMaxStateFile = kStateHeader + kMaxState;

os::Fd write_state_file(std::uint32_t version, std::string_view bytes);

// Throws where it is not what write_state_file makes, is not sealed, or is over the bound.
State read_state_file(int fd);

}  // namespace appserver::channel
