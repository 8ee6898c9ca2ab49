// Both ends of a connection, as plugins and logs are told (net/peer_name.hpp).
#pragma once

#include <string>

namespace appserver::net {

struct Ends {
  // Of a name: "[" 45 "]:" 5, with room.
  static constexpr std::size_t kLongest = 64;

  std::string remote{};
  std::string local{};
  friend bool operator==(const Ends&, const Ends&) = default;
};

}  // namespace appserver::net
