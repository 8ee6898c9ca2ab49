// What others than business workers ask of a gateway worker: people and programs, by the control
// API and the supervisor. It goes the way of a business worker's command.
#pragma once

#include <string>
#include <string_view>

#include "control/gateway_api.hpp"
#include "gateway/gateway.hpp"

namespace appserver::gateway {

// What this worker has to say of its own clients; it does not know whether those of others are
// connected.
control::GatewayReply answer_outside(Gateway& gateway, const control::GatewayRequest& request);

// The same as JSON, of at most control::kMaxGatewayAnswer. Throws control::BadJson.
std::string answer_outside(Gateway& gateway, std::string_view request);

}  // namespace appserver::gateway
