// What a worker may hold, of what its group's configuration asks for.
#pragma once

#include <cstdint>

#include "config/config.hpp"
#include "gateway/gateway.hpp"
#include "net/http_server.hpp"
#include "net/stream_server.hpp"

namespace appserver::worker {

// Half of the descriptors, less our own: while it takes over a predecessor's connections a worker
// may already have as many of its own, and a message that brings a descriptor must never find none
// free.
std::uint32_t affordable_connections(std::uint32_t wanted);

net::HttpLimits to_limits(const config::Group& group);
gateway::GatewayOptions to_gateway_options(const config::Group& group);
net::StreamLimits to_stream_limits(const config::Limits& limits, const config::Reload& reload);

}  // namespace appserver::worker
