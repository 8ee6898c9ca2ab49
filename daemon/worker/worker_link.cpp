// The links of a Worker between gateway and business groups, and the way in for other daemons.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "worker/link_keys.hpp"
#include "worker/worker.hpp"

namespace appserver::worker {

using channel::Kind;

void Worker::add_link(os::Fd socket, std::uint64_t number) {
  if (gateway_) {
    gateway_->add_link(std::move(socket));
  } else {
    host_.gateway().add_link(std::move(socket), number);
  }
}

void Worker::open_door() {
  if (!gateway_ || boot_.group.link.listen.empty()) return;
  door_ = std::make_unique<gateway::LinkDoor>(
      context_, link_keys_,
      gateway::LinkDoor::Hooks{[this](gateway::LinkSocket socket) {
                                 gateway_->add_link(std::move(socket), boot_.group.link.timeout);
                               },
                               [this](const std::string& what) { complain(what); }});
}

void Worker::renew_link_keys(const os::Fd& file) {
  try {
    link_keys_ = make_link_keys(boot_.group, file);
  } catch (const std::exception& error) {
    return log_.write(
        config::LogLevel::error,
        fmt::format("new files of the link are not taken: {}; those before stay", error.what()));
  }
  if (door_) door_->renew(link_keys_);
  host_.gateway().renew(link_keys_);
}

// Its own clients stay with the business workers that it has.
void Worker::leave_gateway() {
  if (!gateway_) return;
  if (door_) door_->close();
  gateway_->leave();
}

// So that where a worker takes another one's place, each gateway worker knows it before the other
// one drains.
void Worker::say_ready_when_linked() {
  constexpr milliseconds kMostPatience{5'000};
  host_.gateway().when_looked(std::min(kMostPatience, boot_.group.reload.start_timeout / 2),
                              [this] {
                                say(Kind::ready, host_.lifecycle().saves_state() ? 1 : 0,
                                    host_.lifecycle().why_not_inherited());
                              });
}

}  // namespace appserver::worker
