// What gateway workers were asked for the control API, and their answers put together. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "control/gateway_api.hpp"

namespace appserver::supervisor {

class GatewayQuestions final {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Done = std::function<void(const control::GatewayReply&)>;
  // Names a process; what it points to is not looked at.
  using Worker = const void*;

  // That wait for answers at a time.
  static constexpr std::size_t kMost = 64;
  // Of these; who may only push never takes the last ones.
  static constexpr std::size_t kForOperators = 16;
  // That one worker has not answered, those that were given up too: a worker that somebody has
  // stopped must not be given more than its channel holds.
  static constexpr std::size_t kMostOwed = 64;

  bool is_full(bool may_operate) const {
    return questions_.size() + (may_operate ? 0 : kForOperators) >= kMost;
  }
  // Whether it may be asked one more.
  bool may_ask(Worker worker) const;

  // `workers` are to be asked, and are ones that may be. `partial`: there are others that cannot.
  // `done` is called once, from one of these calls; here, where nobody is asked. Gives the
  // question's number. Not while is_full().
  std::uint64_t add(const control::GatewayRequest& request, std::set<Worker> workers, bool partial,
                    Time deadline, Done done);
  // Whether this worker's answer is waited for; it owes it no more.
  bool settle(Worker worker, std::uint64_t number);
  // The JSON of a control::GatewayReply, of a worker that was waited for. False: it is none, which
  // makes the reply partial.
  bool answer(Worker worker, std::uint64_t number, std::string_view json);
  // It has no answer.
  void fail(Worker worker, std::uint64_t number);
  // It has ended.
  void gone(Worker worker);
  void expire(Time now);
  // When expire() has something to do next.
  std::optional<Time> next_deadline() const;

 private:
  struct Question {
    bool wants_client = false;  // one of those that it names must be connected
    std::set<Worker> waits_for;
    Time deadline;
    std::size_t bytes = 0;  // of what was answered, about
    control::GatewayReply reply;
    Done done;
  };
  using Questions = std::map<std::uint64_t, Question>;

  void take_off(Questions::iterator question, Worker worker);
  void finish(Questions::iterator question);

  Questions questions_;
  std::map<Worker, std::set<std::uint64_t>> owed_;
  std::uint64_t last_ = 0;
};

}  // namespace appserver::supervisor
