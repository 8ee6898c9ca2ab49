#include "appserverctl/gateway_view.hpp"

#include <fmt/format.h>

#include <vector>

#include "appserverctl/table.hpp"

namespace appserver::appserverctl {

namespace {

using control::GatewayVerb;

std::string clients(std::uint64_t count) {
  return fmt::format("{} client{}", count, count == 1 ? "" : "s");
}

std::string print_clients(const control::GatewayReply& reply, bool with_sessions) {
  std::vector<Column> columns{{"CLIENT"}, {"UID"}};
  if (with_sessions) columns.insert(columns.end(), {{"VERSION", true}, {"SESSION"}});
  std::vector<std::vector<std::string>> rows;
  for (const control::GatewayClient& each : reply.clients) {
    rows.push_back({each.client, each.uid});
    if (with_sessions)
      rows.back().insert(rows.back().end(),
                         {fmt::to_string(each.version), each.session.value_or("")});
  }
  return print_table(columns, rows);
}

std::string print_names(const control::GatewayReply& reply, const char* title) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, count] : reply.names) rows.push_back({name, fmt::to_string(count)});
  return print_table({{title}, {"CLIENTS", true}}, rows);
}

}  // namespace

std::string print_gateway(GatewayVerb verb, const control::GatewayReply& reply) {
  switch (verb) {
    case GatewayVerb::send:
      return fmt::format("sent to {}\n", clients(reply.count));
    case GatewayVerb::close:
    case GatewayVerb::destroy:
      return fmt::format("closed {}\n", clients(reply.count));
    case GatewayVerb::set_session:
      return reply.count == 0 ? "" : fmt::format("the session has version {}\n", reply.version);
    case GatewayVerb::count:
      return fmt::format("{}\n", reply.count);
    case GatewayVerb::clients:
    case GatewayVerb::session: {
      const bool with_sessions = !reply.clients.empty() && reply.clients.front().session;
      return print_clients(reply, with_sessions);
    }
    case GatewayVerb::uids:
      return print_names(reply, "UID");
    case GatewayVerb::groups:
      return print_names(reply, "GROUP");
    default:
      return fmt::format("done for {}\n", clients(reply.count));
  }
}

std::string print_gateway_problems(const control::GatewayReply& reply) {
  std::string text;
  if (reply.problem) {
    const std::string whom =
        reply.failed == 0 ? "" : fmt::format("not done for {}: ", clients(reply.failed));
    text += fmt::format("appserverctl: {}{}\n", whom, control::to_words(*reply.problem));
  }
  if (reply.partial) {
    text +=
        "appserverctl: partial: a worker of the gateway is away, or did not answer in time, and "
        "may "
        "do it later; `appserverctl status` shows them\n";
  }
  return text;
}

}  // namespace appserver::appserverctl
