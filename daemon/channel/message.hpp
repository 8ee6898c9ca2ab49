// What supervisor and worker say to each other: small messages over a SOCK_SEQPACKET pair. The
// supervisor reads a worker's messages as hostile input: anything malformed ends that worker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "os/message_socket.hpp"

namespace appserver::channel {

// Raised when a kind or its meaning changes.
inline constexpr std::uint16_t kVersion = 3;

enum class Kind : std::uint16_t {
  // Supervisor to worker.
  boot = 1,   // fds: boot record (sealed memory file), worker page, log socket, then per listener
              // one socket, then the state that a predecessor left (a sealed memory file, where the
              // boot record says so), and last, of a group under TLS, its certificates
  serve = 2,  // begin to accept connections
  probe = 3,  // fds: a connected stream socket; serve HTTP on it though not accepting yet
  adopt = 4,  // fds: message socket from which a predecessor's connections come
  drain = 5,  // number: milliseconds until what is left is cut; fds: none, or the message socket to
              // the successor
  lend = 6,   // slot: whose listeners; fds: its sockets. Accept from them too
  reclaim = 7,        // slot: stop accepting from its lent sockets
  kept = 8,           // a reload went by and left this worker alone
  save_state = 9,     // number: what the answer is to carry; 0: answer right before on_worker_stop
  certificates = 10,  // fds: sealed memory file of them; for new handshakes
  bus = 11,   // fds: a connected message socket; of a worker: to the bus; of the bus: to a worker,
              // and number: which, text: its name for people
  link = 12,  // fds: a connected stream socket; of a gateway worker: to a business worker; of a
              // business worker: to a gateway worker; number: the link's
  ask_gateway =
      13,          // number: what the answer is to carry; fds: a sealed memory file, the JSON of a
                   // control::GatewayRequest
  link_keys = 14,  // fds: sealed memory file of them; for new links to other daemons
  gateway_size = 15,  // number: of the workers of this gateway group, from now on
  // Worker to supervisor.
  ready = 101,    // on_worker_start returned; number: 1 where the plugin leaves state;
                  // text: why it could not read what it was left
  failed = 102,   // text: why this worker cannot start; it exits
  drained = 103,  // number: connections cut; text: a count of those handed over
  stopped = 104,  // on_worker_stop and destroy returned; any exit without this is a crash
  state =
      105,  // number: as asked, 0 right before on_worker_stop; fds: a sealed memory file, or none
            // where there is no state; text: why there is none, where that is a failure
  want_bus = 106,  // connect me to the bus, anew if need be; number: connections that I was given
  gateway_answer = 107,  // number: as asked; fds: a sealed memory file, the JSON of a
                         // control::GatewayReply, or none; text: why there is none
  want_link = 108,       // number: of a link that has ended though both may live; make another
};

struct Message {
  Kind kind{};
  std::uint32_t slot = 0;
  std::uint64_t number = 0;
  std::string text;
  std::vector<os::Fd> fds;
};

// Longest text; what is longer is cut when sent.
inline constexpr std::size_t kMaxText = 16 * 1024;

os::SendResult send(int socket, const Message& message, const std::vector<int>& fds = {});

// Throws std::runtime_error on a malformed message or one of another version; descriptors that came
// with it are in `message` all the same.
os::ReceiveResult receive(int socket, Message& message);

}  // namespace appserver::channel
