#include "worker/limits.hpp"

#include <sys/resource.h>

#include <algorithm>

#include "os/error.hpp"
#include "worker/identity.hpp"

namespace appserver::worker {

std::uint32_t affordable_connections(std::uint32_t wanted) {
  rlimit files{};
  os::check(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit(nofile)");
  if (files.rlim_cur <= 2 * kOwnDescriptors) return 1;
  return static_cast<std::uint32_t>(
      std::min<rlim_t>(wanted, (files.rlim_cur - kOwnDescriptors) / 2));
}

net::HttpLimits to_limits(const config::Group& group) {
  const config::Limits& limits = group.limits;
  const config::Compress& compress = group.compress;
  net::HttpLimits result;
  result.request.max_body = limits.max_body.value;
  result.header_timeout = limits.header_timeout;
  result.idle_timeout = limits.idle_timeout;
  result.compression = {compress.enabled, compress.types, compress.min_size.value,
                        static_cast<int>(compress.level)};
  return result;
}

gateway::GatewayOptions to_gateway_options(const config::Group& group) {
  gateway::GatewayOptions result;
  result.routes.parked_bytes = group.gateway.park_memory.value;
  result.routes.park_timeout = group.gateway.park_timeout;
  result.routes.at_least_once = group.gateway.delivery == config::Delivery::at_least_once;
  // A message at its largest must be able to wait, and to be on its way.
  result.routes.client_bytes =
      std::max<std::size_t>(result.routes.client_bytes, group.limits.max_message.value);
  result.routes.link_bytes =
      std::max<std::size_t>(result.routes.link_bytes, group.limits.max_message.value);
  result.ping_interval = group.limits.ping_interval;
  result.ping_limit = group.gateway.ping_limit;
  result.ping_data = group.gateway.ping_data;
  return result;
}

net::StreamLimits to_stream_limits(const config::Limits& limits, const config::Reload& reload) {
  net::StreamLimits result;
  result.max_message = limits.max_message.value;
  result.send_buffer = limits.send_buffer.value;
  result.message_timeout = limits.header_timeout;
  result.send_timeout = limits.send_timeout;
  result.idle_timeout = limits.stream_idle_timeout;
  result.ping_interval = limits.ping_interval;
  // So that the last ones have time for their closing.
  result.close_spread = std::min(reload.close_spread, reload.drain_timeout / 2);
  return result;
}

}  // namespace appserver::worker
