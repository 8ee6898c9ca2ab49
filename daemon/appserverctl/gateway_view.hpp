// What a gateway has answered, for people. Pure.
#pragma once

#include <string>

#include "control/gateway_api.hpp"

namespace appserver::appserverctl {

std::string print_gateway(control::GatewayVerb verb, const control::GatewayReply& reply);

// What is not as it was asked for, a line each, with the way out; empty where nothing is.
std::string print_gateway_problems(const control::GatewayReply& reply);

}  // namespace appserver::appserverctl
