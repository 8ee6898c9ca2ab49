// Takes what the control API asks of a gateway to its workers, and their answers back.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "channel/message.hpp"
#include "control/commands.hpp"
#include "supervisor/gateway_questions.hpp"
#include "supervisor/worker_process.hpp"
#include "telemetry/log.hpp"

namespace appserver::supervisor {

class GatewayAsks final {
 public:
  GatewayAsks(boost::asio::io_context& io, telemetry::Log& log) : log_(log), timer_(io) {}
  GatewayAsks(const GatewayAsks&) = delete;
  GatewayAsks& operator=(const GatewayAsks&) = delete;

  // Asks these, which live. `partial`: others that should be there are not. `done` is called once,
  // at the latest after the request's timeout. Throws control::Rejection where too many wait.
  void ask(const control::GatewayRequest& request, const control::Peer& peer,
           const std::vector<std::shared_ptr<WorkerProcess>>& workers, bool partial,
           control::Commands::GatewayDone done);
  // What a worker answers. Its descriptors stay the caller's.
  void answered(const WorkerProcess& worker, const channel::Message& message);
  void ended(const WorkerProcess& worker);

 private:
  void set_timer();

  telemetry::Log& log_;
  boost::asio::steady_timer timer_;
  GatewayQuestions questions_;
};

}  // namespace appserver::supervisor
