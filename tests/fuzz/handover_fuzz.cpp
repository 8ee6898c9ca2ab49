// A message that claims to bring a connection from a predecessor: taken whole, or not at all.
#include <fcntl.h>

#include <cstdint>
#include <exception>
#include <string>

#include "worker/handover_message.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace appserver;
  os::Packet packet;
  packet.data.assign(reinterpret_cast<const char*>(bytes), size);
  const std::size_t fds = size % 3;
  for (std::size_t i = 0; i < fds; ++i) packet.fds.push_back(os::open_file("/dev/null", O_RDONLY));
  try {
    worker::read_handed(std::move(packet));
  } catch (const std::exception&) {
    // A memory file that is none.
  }
  worker::read_taken(std::string(reinterpret_cast<const char*>(bytes), size));
  return 0;
}
