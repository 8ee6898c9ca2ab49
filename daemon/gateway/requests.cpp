#include "gateway/requests.hpp"

namespace appserver::gateway {

std::uint64_t Requests::add(std::set<std::uint64_t> gateways, bool partial, Time deadline,
                            Done done) {
  if (pending_.size() >= kMost) return 0;
  Pending& pending = pending_[++last_];
  pending.waits_for = std::move(gateways);
  pending.deadline = deadline;
  pending.result.partial = partial;
  pending.done = std::move(done);
  return last_;
}

bool Requests::answer(std::uint64_t gateway, const Answer& answer) {
  const auto found = pending_.find(answer.request);
  // It was given up.
  if (found == pending_.end()) return answer.request > 0 && answer.request <= last_;
  Pending& pending = found->second;
  if (!pending.waits_for.contains(gateway)) return false;
  Result& result = pending.result;
  if (answer.result != TableResult::ok) result.result = answer.result;
  result.number += answer.number;
  for (const ClientRecord& each : answer.clients) {
    Record& record = result.clients.emplace_back();
    record.client = {gateway, each.client};
    record.uid = each.uid;
    pending.bytes += sizeof(Record) + each.uid.size();
    if (each.session) pending.bytes += each.session->bytes.size();
    if (each.session)
      record.session =
          ClientTable::Session{std::string(each.session->bytes), each.session->version};
  }
  for (const NamedCount& each : answer.names) {
    result.names[std::string(each.name)] += each.count;
    pending.bytes += sizeof(NamedCount) + each.name.size();
  }
  if (pending.bytes > kMostBytes) {
    result.result = TableResult::too_large;
    finish(found);
    return true;
  }
  if (answer.more) return true;
  pending.waits_for.erase(gateway);
  if (pending.waits_for.empty()) finish(found);
  return true;
}

void Requests::gateway_gone(std::uint64_t gateway) {
  std::vector<std::uint64_t> over;
  for (auto& [request, pending] : pending_) {
    if (pending.waits_for.erase(gateway) == 0) continue;
    pending.result.partial = true;
    if (pending.waits_for.empty()) over.push_back(request);
  }
  for (const std::uint64_t request : over) {
    const auto found = pending_.find(request);
    if (found != pending_.end()) finish(found);
  }
}

void Requests::expire(Time now) {
  std::vector<std::uint64_t> over;
  for (const auto& [request, pending] : pending_) {
    if (pending.deadline <= now) over.push_back(request);
  }
  for (const std::uint64_t request : over) {
    const auto found = pending_.find(request);
    if (found == pending_.end()) continue;
    if (!found->second.waits_for.empty()) found->second.result.partial = true;
    finish(found);
  }
}

void Requests::forget(std::uint64_t request) { pending_.erase(request); }

// Off the list first: what is called may ask anew, or give others up.
void Requests::finish(Waiting::iterator request) {
  const Pending done = std::move(request->second);
  pending_.erase(request);
  done.done(done.result);
}

}  // namespace appserver::gateway
