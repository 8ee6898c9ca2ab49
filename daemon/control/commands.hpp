// What the control server asks of the daemon. Everything here runs on the io_context's thread and
// must not block.
#pragma once

#include <sys/types.h>

#include <memory>

#include "control/api.hpp"
#include "control/requests.hpp"

namespace appserver::control {

// The caller of a command, from SO_PEERCRED.
struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  bool may_operate = false;  // always true in the commands that change something
};

// The caller's end of a rollout. Sending never blocks, fails or throws: a caller that has gone, or
// reads too slowly for the bounded buffer, is dropped and the events are swallowed. The event
// `done` ends the answer, and later ones are swallowed too. Letting go of the stream without `done`
// ends the answer short, which the caller reports as a failure. It may outlive the server.
class EventStream {
 public:
  EventStream() = default;
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;
  virtual ~EventStream() = default;
  virtual void send(const RolloutEvent& event) = 0;
};

// An exception from any of these is answered with 500 and its message, unless events were sent
// already.
class Commands {
 public:
  Commands() = default;
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;
  virtual ~Commands() = default;
  virtual Status status() = 0;
  // Starts (or refuses, with `done` and its result) and returns; the events follow as they happen.
  virtual void reload(ReloadRequest request, Peer peer, std::shared_ptr<EventStream> events) = 0;
  virtual void restart(RestartRequest request, Peer peer, std::shared_ptr<EventStream> events) = 0;
  // Called after the answer was handed to the kernel, so it may end the process. It may destroy the
  // server.
  virtual void stop(StopRequest request, Peer peer) = 0;
};

}  // namespace appserver::control
