#include "supervisor/gateway_questions.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "control/api.hpp"

namespace appserver::supervisor {
namespace {

using control::GatewayProblem;
using control::GatewayReply;
using control::GatewayVerb;

// A question for some clients, of which none is there, has an answer: none.
bool wants_client(const control::GatewayRequest& request) {
  return request.scope == control::GatewayScope::clients &&
         (!control::asks(request.verb) || request.verb == GatewayVerb::session);
}

void merge(GatewayReply& all, GatewayReply part) {
  all.partial = all.partial || part.partial;
  if (!all.problem) all.problem = part.problem;
  all.count += part.count;
  all.failed += part.failed;
  all.version = std::max(all.version, part.version);
  std::ranges::move(part.clients, std::back_inserter(all.clients));
  for (const auto& [name, count] : part.names) all.names[name] += count;
}

}  // namespace

bool GatewayQuestions::may_ask(Worker worker) const {
  const auto owed = owed_.find(worker);
  return owed == owed_.end() || owed->second.size() < kMostOwed;
}

std::uint64_t GatewayQuestions::add(const control::GatewayRequest& request,
                                    std::set<Worker> workers, bool partial, Time deadline,
                                    Done done) {
  const std::uint64_t number = ++last_;
  Question question;
  question.wants_client = wants_client(request);
  question.deadline = deadline;
  question.reply.partial = partial;
  question.done = std::move(done);
  for (const Worker worker : workers) owed_[worker].insert(number);
  question.waits_for = std::move(workers);
  const auto added = questions_.emplace(number, std::move(question)).first;
  if (added->second.waits_for.empty()) finish(added);
  return number;
}

bool GatewayQuestions::settle(Worker worker, std::uint64_t number) {
  const auto owed = owed_.find(worker);
  if (owed == owed_.end() || owed->second.erase(number) == 0) return false;
  const auto question = questions_.find(number);
  return question != questions_.end() && question->second.waits_for.contains(worker);
}

bool GatewayQuestions::answer(Worker worker, std::uint64_t number, std::string_view json) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return true;
  Question& question = found->second;
  bool good = true;
  try {
    question.bytes += json.size();
    if (question.bytes > control::kMaxGatewayReply) {
      question.reply.problem = GatewayProblem::too_large;
    } else {
      merge(question.reply, control::gateway_reply_from_json(control::parse_json(json)));
    }
  } catch (const control::BadJson&) {
    question.reply.partial = true;
    good = false;
  }
  take_off(found, worker);
  return good;
}

void GatewayQuestions::fail(Worker worker, std::uint64_t number) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  found->second.reply.partial = true;
  take_off(found, worker);
}

void GatewayQuestions::gone(Worker worker) {
  const auto owed = owed_.extract(worker);
  if (owed.empty()) return;
  for (const std::uint64_t number : owed.mapped()) {
    const auto found = questions_.find(number);
    if (found != questions_.end() && found->second.waits_for.contains(worker)) fail(worker, number);
  }
}

void GatewayQuestions::expire(Time now) {
  std::vector<std::uint64_t> over;
  for (const auto& [number, question] : questions_) {
    if (question.deadline <= now) over.push_back(number);
  }
  for (const std::uint64_t number : over) {
    const auto found = questions_.find(number);
    if (found == questions_.end()) continue;
    found->second.reply.partial = true;
    finish(found);
  }
}

std::optional<GatewayQuestions::Time> GatewayQuestions::next_deadline() const {
  const auto first = std::ranges::min_element(
      questions_, {}, [](const auto& each) { return each.second.deadline; });
  if (first == questions_.end()) return std::nullopt;
  return first->second.deadline;
}

void GatewayQuestions::take_off(Questions::iterator question, Worker worker) {
  question->second.waits_for.erase(worker);
  if (question->second.waits_for.empty()) finish(question);
}

// Off the list first: what is called may ask anew.
void GatewayQuestions::finish(Questions::iterator question) {
  const Questions::node_type node = questions_.extract(question);
  const Question& over = node.mapped();
  GatewayReply reply = over.reply;
  if (reply.problem == GatewayProblem::too_large) {
    reply.clients.clear();
    reply.names.clear();
  }
  const bool nobody = reply.count == 0 && reply.failed == 0 && !reply.partial;
  if (over.wants_client && nobody && !reply.problem) reply.problem = GatewayProblem::no_client;
  over.done(reply);
}

}  // namespace appserver::supervisor
