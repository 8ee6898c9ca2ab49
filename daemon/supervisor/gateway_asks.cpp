#include "supervisor/gateway_asks.hpp"

#include <boost/json/serialize.hpp>
#include <chrono>
#include <exception>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "os/memfd.hpp"

namespace appserver::supervisor {

void GatewayAsks::ask(const control::GatewayRequest& request, const control::Peer& peer,
                      const std::vector<std::shared_ptr<WorkerProcess>>& workers, bool partial,
                      control::Commands::GatewayDone done) {
  if (questions_.is_full(peer.may_operate)) {
    throw control::Rejection(503, {"too many wait for an answer of a gateway",
                                   "try again in a moment; a worker of it may stand still: see "
                                   "`appserverctl status`"});
  }
  const os::Fd file = os::make_sealed_memfd("appserver-gateway-ask",
                                            boost::json::serialize(control::to_json(request)));
  std::set<GatewayQuestions::Worker> asked;
  for (const auto& worker : workers) {
    if (questions_.may_ask(worker.get())) asked.insert(worker.get());
  }
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t number =
      questions_.add(request, asked, partial || asked.size() < workers.size(),
                     now + request.timeout, std::move(done));
  channel::Message message;
  message.kind = channel::Kind::ask_gateway;
  message.number = number;
  for (const auto& worker : workers) {
    if (asked.contains(worker.get())) worker->send(message, {file.get()});
  }
  set_timer();
}

void GatewayAsks::answered(const WorkerProcess& worker, const channel::Message& message) {
  if (!questions_.settle(&worker, message.number)) return;
  std::string why = message.text;
  try {
    if (message.fds.empty()) throw std::runtime_error(why.empty() ? "it gave none" : why);
    const std::string text =
        os::read_sealed_memfd(message.fds.front().get(), control::kMaxGatewayAnswer);
    if (questions_.answer(&worker, message.number, text)) return set_timer();
    why = "it is malformed";
  } catch (const std::exception& error) {
    why = error.what();
    questions_.fail(&worker, message.number);
  }
  log_.warning("{}/{}, pid {}: no answer of the gateway to what was asked of it: {}",
               worker.group(), worker.slot(), worker.pid(), why);
  set_timer();
}

void GatewayAsks::ended(const WorkerProcess& worker) {
  questions_.gone(&worker);
  set_timer();
}

void GatewayAsks::set_timer() {
  const auto next = questions_.next_deadline();
  if (!next) {
    timer_.cancel();
    return;
  }
  if (timer_.expiry() == *next) return;
  timer_.expires_at(*next);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    questions_.expire(std::chrono::steady_clock::now());
    set_timer();
  });
}

}  // namespace appserver::supervisor
