// What the control server asks of the daemon. Everything here runs on the io_context's thread and
// must not block.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "control/api.hpp"
#include "control/gateway_api.hpp"
#include "control/requests.hpp"

namespace appserver::control {

// The caller of a command, from SO_PEERCRED.
struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  bool may_operate = false;  // always true in the commands that change something, but gateway()
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
  // Nobody hears it any more.
  virtual bool is_over() const { return false; }
};

// What was asked for does not fit the state of things (there is nothing to confirm, no such
// release): answered with 409, unless events were sent already.
class Conflict : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Answered with this status and these words.
class Rejection : public std::runtime_error {
 public:
  Rejection(unsigned http_status, ErrorReply reply)
      : std::runtime_error(reply.error), http_status_(http_status), reply_(std::move(reply)) {}
  unsigned http_status() const { return http_status_; }
  const ErrorReply& reply() const { return reply_; }

 private:
  unsigned http_status_;
  ErrorReply reply_;
};

// Any other exception from these is answered with 500 and its message, unless events were sent
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
  virtual void rollback(RollbackRequest request, Peer peer,
                        std::shared_ptr<EventStream> events) = 0;
  virtual void scale(ScaleRequest request, Peer peer, std::shared_ptr<EventStream> events) = 0;
  virtual void drain(DrainRequest request, Peer peer, std::shared_ptr<EventStream> events) = 0;

  // Of the rollout that runs or waits for a person; else of the last one. Nullopt before the first.
  virtual std::optional<RolloutStatus> rollout() = 0;
  // The events so far of the rollout that runs or ran last, then those to come, to `done`.
  // Called only where rollout() gives one.
  virtual void watch(std::shared_ptr<EventStream> events) = 0;
  // Each gives a line for the person that says what happens now, or throws Conflict.
  virtual std::string abort(Peer peer) = 0;    // the rollout that runs goes back
  virtual std::string proceed(Peer peer) = 0;  // a canary that waits for a person goes on
  virtual std::string confirm(Peer peer) = 0;  // the release stays

  // The caller may be one who may not operate: whether he may push is decided here. `done` is
  // called once, perhaps within the call, unless this throws; it may outlive the server.
  using GatewayDone = std::function<void(const GatewayReply&)>;
  virtual void gateway(GatewayRequest request, Peer peer, GatewayDone done) = 0;

  // Newest first.
  virtual std::vector<ReleaseSummary> history() = 0;
  virtual std::vector<CrashRecord> crashes() = 0;
  virtual std::optional<CrashRecord> crash(std::uint64_t number) = 0;
  // Called after the answer was handed to the kernel, so it may end the process. It may destroy the
  // server.
  virtual void stop(StopRequest request, Peer peer) = 0;
};

}  // namespace appserver::control
