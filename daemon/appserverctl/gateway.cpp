#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "appserverctl/gateway_view.hpp"
#include "appserverctl/socket.hpp"
#include "appserverctl/verbs.hpp"
#include "control/gateway_api.hpp"

namespace appserver::appserverctl {

namespace {

using control::GatewayRequest;
using control::GatewayScope;
using control::GatewayVerb;

// For the daemon's own answer, beyond what the gateway's workers may take.
constexpr std::chrono::milliseconds kGrace{5'000};

// "gateway join-group" as the control API calls it.
GatewayVerb verb_of(const Options& options) {
  std::string word = options.verb.substr(options.verb.find(' ') + 1);
  std::replace(word.begin(), word.end(), '-', '_');
  return control::gateway_verb(word).value();
}

void read_whom(const Options& options, GatewayRequest& request) {
  const GatewayOptions& given = options.of_gateway;
  if (!given.clients.empty()) {
    request.scope = GatewayScope::clients;
    request.of = given.clients;
  } else if (!given.uids.empty()) {
    request.scope = GatewayScope::uids;
    request.of = given.uids;
  } else if (!given.groups.empty()) {
    request.scope = GatewayScope::groups;
    request.of = given.groups;
  } else if (request.verb == GatewayVerb::set_session) {
    throw UsageError("gateway set-session needs --client ID");
  } else if (request.verb == GatewayVerb::session ||
             (!control::asks(request.verb) && request.verb != GatewayVerb::ungroup)) {
    if (!given.all)
      throw UsageError(fmt::format(
          "{} must be told whom it is about: --all, --client ID, --uid UID or --group NAME",
          options.verb));
  }
}

std::string read_input(const Console& console) {
  std::string text;
  if (console.in == nullptr) return text;
  text.resize(control::kMaxGatewayMessage + 2);
  console.in->read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(console.in->gcount()));
  return text;
}

void read_text(const Options& options, const Console& console, GatewayRequest& request) {
  if (options.names.empty()) return;
  std::string text = options.names[0];
  if (request.verb != GatewayVerb::send && request.verb != GatewayVerb::close &&
      request.verb != GatewayVerb::set_session) {
    request.name = std::move(text);
    return;
  }
  const bool from_input = text == "-";
  if (from_input) text = read_input(console);
  // What `echo` and editors end a text with is not of it.
  if (from_input && !options.of_gateway.binary && text.ends_with('\n')) text.pop_back();
  request.body = std::move(text);
  request.binary = options.of_gateway.binary;
}

GatewayRequest request_of(const Options& options, const Console& console) {
  const GatewayOptions& given = options.of_gateway;
  GatewayRequest request{.gateway = given.gateway, .verb = verb_of(options)};
  read_whom(options, request);
  read_text(options, console, request);
  request.except = given.except;
  if (given.code) request.code = static_cast<std::uint16_t>(*given.code);
  request.expected = given.expected;
  request.sessions = given.sessions;
  request.timeout = options.timeout.value_or(request.timeout);
  return request;
}

// As the daemon would refuse it.
void check_request(const GatewayRequest& request) {
  try {
    const auto again = control::parse_gateway(boost::json::serialize(control::to_json(request)));
    if (request.verb == GatewayVerb::send && again.binary && !request.binary)
      throw UsageError("the text is not UTF-8; bytes go with --binary");
  } catch (const control::BadJson& bad) {
    throw UsageError(bad.what());
  }
}

}  // namespace

int ask_gateway(const Options& options, const Console& console) {
  const GatewayRequest request = request_of(options, console);
  check_request(request);
  const std::string body =
      find_daemon(options, console)
          .post("/v1/gateway", control::to_json(request), request.timeout + kGrace);
  const control::GatewayReply reply = control::gateway_reply_from_json(control::parse_json(body));
  console.out << (options.json ? body : print_gateway(request.verb, reply));
  if (!options.json) console.err << print_gateway_problems(reply);
  if (reply.problem) return kFailed;
  return reply.partial ? kPartial : kDone;
}

}  // namespace appserver::appserverctl
