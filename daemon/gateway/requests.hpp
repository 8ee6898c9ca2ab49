// Questions to gateway workers, and the answers of several put together. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gateway/client_id.hpp"
#include "gateway/link_message.hpp"
#include "gateway/router.hpp"

namespace appserver::gateway {

class Requests final {
 public:
  // That wait for answers at a time.
  static constexpr std::size_t kMost = 65'536;
  // Of one question's answers together, about; what is longer ends as too_large.
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20;

  struct Record {
    ClientId client;
    std::string uid;
    std::optional<ClientTable::Session> session;
  };
  struct Result {
    TableResult result = TableResult::ok;
    bool partial = false;      // a gateway worker was not there, ended, or did not answer in time
    std::uint64_t number = 0;  // the sum, or the session's version
    std::vector<Record> clients;
    std::map<std::string, std::uint64_t> names;  // with the number of clients of each
  };
  using Done = std::function<void(const Result&)>;

  // `gateways` are asked. 0: kMost wait already. Else what the answers carry.
  std::uint64_t add(std::set<std::uint64_t> gateways, bool partial, Time deadline, Done done);
  // False: it answers what it was not asked.
  bool answer(std::uint64_t gateway, const Answer& answer);
  void gateway_gone(std::uint64_t gateway);
  void expire(Time now);
  void forget(std::uint64_t request);
  // None is answered any more.
  void clear() { pending_.clear(); }

 private:
  struct Pending {
    std::set<std::uint64_t> waits_for;
    Time deadline;
    Result result;
    std::size_t bytes = 0;  // of it
    Done done;
  };
  using Waiting = std::map<std::uint64_t, Pending>;

  void finish(Waiting::iterator request);

  Waiting pending_;
  std::uint64_t last_ = 0;
};

}  // namespace appserver::gateway
