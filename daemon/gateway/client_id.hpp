// How a client is named outside its gateway worker.
#pragma once

#include <compare>
#include <cstdint>

#include "gateway/client_table.hpp"

namespace appserver::gateway {

// Never reused: the instance is random and of one gateway process, the serial counts its clients.
struct ClientId {
  std::uint64_t instance = 0;
  Serial serial = 0;
  auto operator<=>(const ClientId&) const = default;
};

}  // namespace appserver::gateway
