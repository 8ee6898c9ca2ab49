// The listening sockets of a group, kept open across all its generations of workers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "os/fd.hpp"

namespace appserver::supervisor {

// One socket a slot for each TCP address (SO_REUSEPORT, socket(7)), so that a slot's queue of new
// connections outlives its workers; one shared socket for each unix address. Since all are ours, no
// worker's end resets a client that still waits.
class Listeners final {
 public:
  // Opens them all, or throws naming the address.
  Listeners(const config::Group& group, std::uint32_t slots);
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;
  // Removes the unix sockets' files.
  ~Listeners();

  // What the worker of a slot accepts from; descriptors stay ours.
  std::vector<int> of_slot(std::uint32_t slot) const;
  // What a sibling needs to accept in a slot's place: nothing for shared sockets, which it has
  // already.
  std::vector<int> to_lend(std::uint32_t slot) const;

  // "http://127.0.0.1:8080", with the port that the kernel chose for port 0.
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Ours are closed: what the workers still hold is all there is.
  void close();

 private:
  struct Address {
    bool shared = false;
    std::vector<os::Fd> sockets;  // one a slot, or one
    std::filesystem::path file;   // of a unix socket
  };

  void open(const config::Listen& listen, const config::Group& group, std::uint32_t slots);

  std::vector<Address> sockets_;
  std::vector<std::string> addresses_;
};

}  // namespace appserver::supervisor
