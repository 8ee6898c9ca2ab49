// What a stranger may say at the address of a link: nobody who lacks the secret is believed, and no
// more is taken or said than the handshake has.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "gateway/handshake.hpp"

namespace gateway = appserver::gateway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using State = gateway::Handshake::State;
  if (size < 2) return 0;
  const std::string secret(32, 's');
  const auto role = (data[0] & 1) != 0 ? gateway::Role::gateway : gateway::Role::business;
  const std::size_t at_once = data[1] + std::size_t{1};
  gateway::Handshake handshake(role, secret, {});
  std::string received;
  std::string out;
  for (std::size_t at = 2; at < size && handshake.state() == State::going; at += at_once) {
    received.append(reinterpret_cast<const char*>(data) + at, std::min(at_once, size - at));
    if (handshake.take(received, out) == State::done) std::abort();
    if (handshake.state() == State::going && received.size() >= handshake.wanted()) std::abort();
  }
  if (out.size() > gateway::Handshake::kMost) std::abort();
  if ((handshake.state() == State::failed) == handshake.why().empty()) std::abort();
  return 0;
}
