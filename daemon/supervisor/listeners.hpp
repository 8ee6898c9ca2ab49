// The listening sockets of a group, kept open across all its generations of workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "os/fd.hpp"
#include "os/unix_socket.hpp"

namespace appserver::supervisor {

// One socket a slot for each TCP address (SO_REUSEPORT, socket(7)), so that a slot's queue of new
// connections outlives its workers; one shared socket for each unix address; and one for each
// address of a link, which is of one slot. Since all are ours, no worker's end resets a client that
// still waits.
//
// Its end removes the files of the unix sockets.
//
// The set of addresses and the number of slots may change while it is in use. Slots are taken away
// from the end, in two steps: retire() keeps new connections from their queues, and close_retired()
// closes them once siblings have emptied them.
class Listeners final {
 public:
  // Opens them all, or throws naming the address.
  Listeners(const config::Group& group, std::uint32_t slots);
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Opens what `group` listens on and is not open yet, in every slot up to `slots`, and keeps what
  // is open beyond that; slots among these that were retired get connections again. Of addresses
  // with port 0 and the same text, the nth stays the nth. Throws naming the address; then
  // everything is as before. Idempotent.
  void extend(const config::Group& group, std::uint32_t slots);

  // Closes (and removes the file of) addresses that `group` does not listen on, and puts the others
  // in its order.
  void keep_only(const config::Group& group);

  // From now on the kernel gives new TCP connections to the first `slots` slots only, at least one
  // (SO_ATTACH_REUSEPORT_CBPF). Handshakes under way still end in the queue where they began, so
  // retired queues are to be emptied until they have been quiet for a while. Throws
  // os::SystemError; std::invalid_argument for 0.
  void retire(std::uint32_t slots);

  // Closes the sockets of slots from `slots` on, last one first, and lets the kernel spread
  // connections as before. Nobody else may hold them any longer: the kernel would go on feeding
  // such a socket, and count it before those that extend() opens later. Throws os::SystemError.
  void close_retired(std::uint32_t slots);

  std::uint32_t slots() const { return slots_; }

  // What the worker of a slot accepts from, for a group that listens on these addresses, in this
  // order; descriptors stay ours.
  std::vector<int> of_slot(std::uint32_t slot, const std::vector<config::Listen>& listen) const;
  // What a sibling needs to accept in a slot's place, on every address: nothing for shared sockets,
  // which it has already.
  std::vector<int> to_lend(std::uint32_t slot) const;

  // "http://127.0.0.1:8080", with the port that the kernel chose for port 0.
  std::vector<std::string> addresses() const;

  // Ours are closed: what the workers still hold is all there is.
  void close();

 private:
  struct Address {
    config::Listen listen;
    std::string text;  // with the real port
    std::uint16_t port = 0;
    bool shared = false;          // one socket, whatever the slots
    std::vector<os::Fd> sockets;  // one a slot, or one
    os::SocketName name;          // of a unix socket
    std::uint32_t fed = 0;        // the first so many get connections; 0: all
  };

  std::vector<std::size_t> find(const std::vector<config::Listen>& listen) const;
  void bind(Address& address, const config::Group& group, std::uint32_t slots);
  void grow(const config::Group& group, std::uint32_t slots);
  void feed(std::uint32_t slots);

  std::vector<Address> addresses_;
  std::uint32_t slots_ = 0;
  std::uint32_t fed_ = 0;  // the first so many slots get connections
};

}  // namespace appserver::supervisor
