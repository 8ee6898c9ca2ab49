// The links of a business worker: those that the supervisor makes, and those to other daemons.
#include <algorithm>
#include <utility>

#include "worker/gateway_host.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

using gateway::Business;
using gateway::ClientEvent;
using gateway::Dialler;
using Clock = std::chrono::steady_clock;

std::optional<gateway::DialTarget> find_target(const config::Link& link, std::size_t gateway,
                                               std::uint32_t slot) {
  const auto found = link.connect.at(gateway).of_slot(slot);
  if (!found) return std::nullopt;
  gateway::DialTarget target;
  target.text = found->text;
  target.target.tls = found->tls;
  target.target.host = found->host;
  target.target.port = found->port;
  target.target.unix_socket = found->unix_path.native();
  return target;
}

}  // namespace

void GatewayHost::start(Hooks hooks, gateway::LinkKeysPtr keys) {
  if (boot_.group.kind != config::GroupKind::business || !plugin_) return;
  hooks_ = std::move(hooks);
  Business::Hooks of_business;
  of_business.event = [this](const ClientEvent& event) { return on_event(event); };
  of_business.complain = hooks_.complain;
  of_business.fewer = hooks_.fewer;
  business_ = std::make_unique<Business>(context_, Business::Identity{boot_.slot, boot_.group.name},
                                         std::move(of_business));
  if (!boot_.group.link.connect.empty()) dial(std::move(keys));
}

void GatewayHost::dial(gateway::LinkKeysPtr keys) {
  const config::Link& link = boot_.group.link;
  Dialler::Options options;
  options.gateways = link.connect.size();
  options.find = [&link](std::size_t gateway, std::uint32_t slot) {
    return find_target(link, gateway, slot);
  };
  options.server_name = link.server_name;
  options.timeout = link.timeout;
  dialler_ =
      std::make_shared<Dialler>(context_, *business_, std::move(options), std::move(keys),
                                Dialler::Hooks{hooks_.complain, hooks_.note, [this] { looked(); }});
  dialler_->start();
}

void GatewayHost::when_looked(std::chrono::milliseconds patience, std::function<void()> looked) {
  if (!dialler_ || has_looked_) return looked();
  looked_ = std::move(looked);
  patience_.expires_after(patience);
  patience_.async_wait([this](const boost::system::error_code& error) {
    if (!error) this->looked();
  });
}

void GatewayHost::looked() {
  has_looked_ = true;
  patience_.cancel();
  if (const auto call = std::exchange(looked_, nullptr)) call();
}

void GatewayHost::renew(gateway::LinkKeysPtr keys) {
  if (dialler_) dialler_->renew(std::move(keys));
}

void GatewayHost::add_link(os::Fd socket, std::uint64_t number) {
  if (!business_) return;
  business_->add_link(std::move(socket),
                      [this, number, since = Clock::now()] { lost_link(number, since); });
}

// Where its gateway worker has ended, too, the supervisor makes none.
void GatewayHost::lost_link(std::uint64_t number, Clock::time_point since) {
  const auto now = Clock::now();
  if (now - since >= Dialler::kStable) pause_ = Dialler::kLeastDelay;
  lost_.push_back({number, now + pause_});
  pause_ = std::min(pause_ * 2, Dialler::kMostDelay);
}

void GatewayHost::begin() {
  if (business_) business_->begin();
}

void GatewayHost::drain() {
  draining_ = true;
  if (dialler_) dialler_->stop();
  if (business_) business_->drain();
}

void GatewayHost::tick() {
  if (!business_) return;
  business_->tick();
  const auto now = Clock::now();
  std::erase_if(lost_, [&](const Lost& lost) {
    if (lost.due > now) return false;
    if (!draining_) hooks_.want_link(lost.number);
    return true;
  });
  host_.page().links.linked.set(business_->gateways());
  host_.page().links.known.set(business_->known_gateways());
}

void GatewayHost::stop() {
  if (dialler_) std::exchange(dialler_, nullptr)->stop();
  patience_.cancel();
  looked_ = nullptr;
  lost_.clear();
  business_.reset();
}

}  // namespace appserver::worker
