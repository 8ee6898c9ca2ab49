#include "channel/state_file.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

#include "os/memfd.hpp"

namespace appserver::channel {
namespace {

struct StateHeader {
  std::uint32_t format;
  std::uint32_t version;
};
static_assert(sizeof(StateHeader) == kStateHeader);

constexpr std::uint32_t kFormat = 1;

}  // namespace

os::Fd write_state_file(std::uint32_t version, std::string_view bytes) {
  const StateHeader header{kFormat, version};
  std::array<char, kStateHeader> head{};
  std::memcpy(head.data(), &header, sizeof(header));
  return os::make_sealed_memfd("appserver-state", {{head.data(), head.size()}, bytes});
}

State read_state_file(int fd) {
  State state;
  state.bytes = os::read_sealed_memfd(fd, kMaxStateFile);
  StateHeader header{};
  if (state.bytes.size() < sizeof(header))
    throw std::runtime_error("a predecessor's state is too short");
  std::memcpy(&header, state.bytes.data(), sizeof(header));
  if (header.format != kFormat)
    throw std::runtime_error("a predecessor's state is of another format");
  state.version = header.version;
  state.bytes.erase(0, sizeof(header));
  return state;
}

}  // namespace appserver::channel
