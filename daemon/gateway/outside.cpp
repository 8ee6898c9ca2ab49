#include "gateway/outside.hpp"

#include <appserver/abi/stream.h>

#include <appserver/client_id.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <vector>

namespace appserver::gateway {
namespace {

using control::GatewayProblem;
using control::GatewayReply;
using control::GatewayRequest;
using control::GatewayVerb;

static_assert(control::kMaxGatewayName == ClientTable::kMaxName);
static_assert(control::kMaxGatewaySession == ClientTable::kMaxSession);

Verb to_verb(GatewayVerb verb) {
  switch (verb) {
    case GatewayVerb::send:
      return Verb::send;
    case GatewayVerb::close:
      return Verb::close;
    case GatewayVerb::destroy:
      return Verb::destroy;
    case GatewayVerb::bind_uid:
      return Verb::bind_uid;
    case GatewayVerb::unbind_uid:
      return Verb::unbind_uid;
    case GatewayVerb::join_group:
      return Verb::join_group;
    case GatewayVerb::leave_group:
      return Verb::leave_group;
    case GatewayVerb::ungroup:
      return Verb::ungroup;
    case GatewayVerb::set_session:
      return Verb::set_session;
    case GatewayVerb::session:
      return Verb::session;
    case GatewayVerb::clients:
      return Verb::clients;
    case GatewayVerb::count:
      return Verb::count;
    case GatewayVerb::uids:
      return Verb::uids;
    case GatewayVerb::groups:
      break;
  }
  return Verb::groups;
}

Scope to_scope(control::GatewayScope scope) {
  switch (scope) {
    case control::GatewayScope::clients:
      return Scope::clients;
    case control::GatewayScope::uids:
      return Scope::uids;
    case control::GatewayScope::groups:
      return Scope::groups;
    case control::GatewayScope::all:
      break;
  }
  return Scope::all;
}

// That no client is connected is known only once all workers have said so.
std::optional<GatewayProblem> problem_of(TableResult result) {
  switch (result) {
    case TableResult::ok:
    case TableResult::no_client:
      return std::nullopt;
    case TableResult::conflict:
      return GatewayProblem::conflict;
    case TableResult::full:
      return GatewayProblem::full;
    case TableResult::too_large:
      return GatewayProblem::too_large;
    case TableResult::invalid:
      break;
  }
  return GatewayProblem::invalid;
}

// Those that are with this worker.
std::vector<Serial> own_clients(const Gateway& gateway, const std::vector<std::string>& ids) {
  std::vector<Serial> own;
  for (const std::string& text : ids) {
    const auto id = appserver::ClientId::from_text(text);
    if (id && id->raw().gateway == gateway.instance()) own.push_back(id->raw().serial);
  }
  return own;
}

// Views into the request.
Command to_command(const Gateway& gateway, const GatewayRequest& request) {
  Command command;
  command.request = 1;
  command.verb = to_verb(request.verb);
  command.target.scope = to_scope(request.scope);
  if (command.target.scope == Scope::clients) {
    command.target.clients = own_clients(gateway, request.of);
  } else {
    command.target.names.assign(request.of.begin(), request.of.end());
  }
  command.except = own_clients(gateway, request.except);
  command.kind = request.binary ? APPSERVER_MESSAGE_BINARY : APPSERVER_MESSAGE_TEXT;
  command.code = request.code;
  command.with_sessions = request.sessions;
  command.expected = request.expected;
  command.name = request.name;
  command.body = request.body;
  return command;
}

// Puts the parts of an answer into a reply, and stops where they are more than one may hold.
class Collector final {
 public:
  Collector(const Gateway& gateway, GatewayReply& reply)
      : instance_(gateway.instance()), reply_(reply) {}

  void take(const Answer& part) {
    if (const auto problem = problem_of(part.result)) reply_.problem = problem;
    reply_.version = part.number;
    for (const ClientRecord& each : part.clients) {
      bytes_ += each.uid.size() + (each.session ? each.session->bytes.size() : 0);
      if (!has_room()) return;
      control::GatewayClient client;
      client.client = appserver::ClientId(appserver_client_id{instance_, each.client}).text();
      client.uid = each.uid;
      if (each.session) {
        client.version = each.session->version;
        client.session = each.session->bytes;
      }
      reply_.clients.push_back(std::move(client));
    }
    for (const NamedCount& each : part.names) {
      bytes_ += each.name.size();
      if (!has_room()) return;
      reply_.names[std::string(each.name)] += each.count;
    }
  }

 private:
  // As JSON it is longer still.
  bool has_room() {
    if (bytes_ > control::kMaxGatewayAnswer) reply_.problem = GatewayProblem::too_large;
    return bytes_ <= control::kMaxGatewayAnswer;
  }

  std::uint64_t instance_;
  GatewayReply& reply_;
  std::size_t bytes_ = 0;
};

GatewayReply too_large(std::uint64_t count) {
  GatewayReply reply;
  reply.problem = GatewayProblem::too_large;
  reply.count = count;
  return reply;
}

}  // namespace

GatewayReply answer_outside(Gateway& gateway, const GatewayRequest& request) {
  GatewayReply reply;
  Collector collector(gateway, reply);
  const Gateway::Effect effect =
      gateway.run(to_command(gateway, request), [&](const Answer& part) { collector.take(part); });
  reply.count = effect.clients - effect.failed;
  reply.failed = effect.failed;
  if (request.verb != GatewayVerb::set_session) reply.version = 0;
  if (effect.failed > 0 && !reply.problem) reply.problem = GatewayProblem::not_sent;
  return reply.problem == GatewayProblem::too_large ? too_large(reply.count) : reply;
}

std::string answer_outside(Gateway& gateway, std::string_view request) {
  const GatewayReply reply = answer_outside(gateway, control::parse_gateway(request));
  std::string text = boost::json::serialize(control::to_json(reply));
  if (text.size() <= control::kMaxGatewayAnswer) return text;
  return boost::json::serialize(control::to_json(too_large(reply.count)));
}

}  // namespace appserver::gateway
