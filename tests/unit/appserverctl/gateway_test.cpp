// The verbs that reach the clients of a gateway.
#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ctl.hpp"

using namespace appserver;
using namespace appserver::appserverctl;
using control::FakeDaemon;
using control::GatewayProblem;
using control::GatewayReply;
using control::GatewayRequest;
using control::GatewayScope;
using control::GatewayVerb;

namespace {

const std::string kId = "00000000000000aa-0000000000000007";

// What a daemon is asked by these arguments, which it answers with `reply`.
struct Asked {
  explicit Asked(std::vector<std::string> arguments, const GatewayReply& reply = {},
                 const std::string& input = {}) {
    FakeDaemon daemon;
    daemon.commands.on_gateway = [&](const GatewayRequest& asked, const auto& done) {
      request = asked;
      done(reply);
    };
    std::istringstream in(input);
    arguments.insert(arguments.begin(), "gateway");
    outcome = ctl_for(daemon, std::move(arguments), [&](Console& console) { console.in = &in; });
  }
  std::optional<GatewayRequest> request;
  Outcome outcome;
};

// How it is refused before any daemon is asked.
std::string usage(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "gateway");
  arguments.insert(arguments.end(), {"--socket", "/no/socket"});
  const Outcome outcome = ctl(std::move(arguments));
  CHECK(outcome.code == 2);
  return outcome.err;
}

}  // namespace

TEST_CASE("each verb of a gateway is asked for as the control API calls it") {
  const std::vector<std::pair<std::vector<std::string>, GatewayVerb>> verbs{
      {{"send", "x", "--all"}, GatewayVerb::send},
      {{"close", "--all"}, GatewayVerb::close},
      {{"destroy", "--all"}, GatewayVerb::destroy},
      {{"bind-uid", "x", "--all"}, GatewayVerb::bind_uid},
      {{"unbind-uid", "--all"}, GatewayVerb::unbind_uid},
      {{"join-group", "x", "--all"}, GatewayVerb::join_group},
      {{"leave-group", "x", "--all"}, GatewayVerb::leave_group},
      {{"ungroup", "x"}, GatewayVerb::ungroup},
      {{"set-session", "x", "--client", kId}, GatewayVerb::set_session},
      {{"session", "--all"}, GatewayVerb::session},
      {{"clients"}, GatewayVerb::clients},
      {{"count"}, GatewayVerb::count},
      {{"uids"}, GatewayVerb::uids},
      {{"groups"}, GatewayVerb::groups}};
  for (auto [arguments, verb] : verbs) {
    arguments.insert(arguments.end(), {"--gateway", "gate"});
    const Asked asked(arguments);
    CAPTURE(arguments, asked.outcome.err);
    REQUIRE(asked.request);
    CHECK(asked.request->verb == verb);
    CHECK(asked.request->gateway == "gate");
    CHECK(asked.outcome.code == 0);
  }
}

TEST_CASE("whom and what a message is for is passed on") {
  const Asked asked({"send", "hello", "--group", "a", "--group", "b", "--except", kId, "--gateway",
                     "gate", "--timeout", "700ms"});
  GatewayRequest expected{.gateway = "gate", .scope = GatewayScope::groups};
  expected.verb = GatewayVerb::send;
  expected.of = {"a", "b"};
  expected.except = {kId};
  expected.body = "hello";
  expected.timeout = std::chrono::milliseconds(700);
  CHECK(asked.request == expected);
  const Asked closed({"close", "bye", "--uid", "ann", "--code", "4001", "--gateway", "gate"});
  CHECK(closed.request->code == 4001);
  CHECK(closed.request->body == "bye");
  const Asked set({"set-session", "s", "--client", kId, "--expected", "0", "--gateway", "gate"});
  CHECK(set.request->expected == 0);
  CHECK(Asked({"clients", "--sessions", "--gateway", "gate"}).request->sessions);
}

TEST_CASE("a text comes from standard input without the line's end, bytes as they are") {
  const auto sent = [](std::vector<std::string> more, const std::string& input) {
    std::vector<std::string> arguments{"send", "-", "--all", "--gateway", "gate"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Asked(arguments, {}, input);
  };
  CHECK(sent({}, "two\nlines\n").request->body == "two\nlines");
  CHECK(sent({"--binary"}, "\xff\n").request->body == "\xff\n");
  CHECK(sent({"--binary"}, "text").request->binary);
  CHECK_FALSE(sent({}, "\xff").request);
  CHECK_THAT(sent({}, "\xff").outcome.err, Catch::Contains("not UTF-8; bytes go with --binary"));
  CHECK(sent({}, std::string(control::kMaxGatewayMessage, 'x') + "\n").request);
  const Asked over = sent({}, std::string(control::kMaxGatewayMessage + 1, 'x'));
  CHECK(over.outcome.code == 2);
  CHECK_THAT(over.outcome.err, Catch::Contains("over 1048576 bytes"));
  CHECK(Asked({"bind-uid", "-", "--all", "--gateway", "gate"}, {}, "x").request->name == "-");
}

TEST_CASE("a command that does not say all is refused, with what it lacks") {
  CHECK_THAT(usage({}), Catch::Contains("gateway is followed by send, close"));
  CHECK_THAT(usage({"shout"}), Catch::Contains("gateway is followed by send, close"));
  CHECK_THAT(usage({"count"}), Catch::Contains("needs --gateway NAME"));
  CHECK_THAT(usage({"send", "--all", "--gateway", "gate"}), Catch::Contains("needs TEXT"));
  CHECK_THAT(usage({"send", "x", "--gateway", "gate"}), Catch::Contains("--all, --client ID"));
  CHECK_THAT(usage({"session", "--gateway", "gate"}), Catch::Contains("--all, --client ID"));
  CHECK_THAT(usage({"set-session", "x", "--gateway", "gate"}),
             Catch::Contains("needs --client ID"));
  CHECK_THAT(usage({"send", "x", "--all", "--uid", "a", "--gateway", "gate"}),
             Catch::Contains("only one kind at a time"));
  CHECK_THAT(usage({"send", "x", "--uid", "", "--gateway", "gate"}),
             Catch::Contains("--uid is given an empty name"));
  CHECK_THAT(usage({"send", "x", "--client", "7", "--gateway", "gate"}),
             Catch::Contains("\"7\" is no id of a client"));
  CHECK_THAT(usage({"ungroup", "x", "--all", "--gateway", "gate"}),
             Catch::Contains("takes no --all"));
  CHECK_THAT(usage({"count", "--code", "4000", "--gateway", "gate"}),
             Catch::Contains("takes no --code; it goes with gateway close"));
  CHECK_THAT(usage({"count", "--timeout", "61s", "--gateway", "gate"}),
             Catch::Contains("at most 60s"));
  CHECK_THAT(ctl({"reload", "--gateway", "x"}).err, Catch::Contains("takes no --gateway"));
}

TEST_CASE("what a gateway has answered is shown, and its exit code says how it went") {
  GatewayReply reply{.count = 2};
  reply.clients = {{kId, "ann", 3, "a\nb"}, {kId, "", 0, ""}};
  CHECK(Asked({"clients", "--sessions", "--gateway", "gate"}, reply).outcome.out ==
        "CLIENT                             UID  VERSION  SESSION\n" + kId +
            "  ann        3  a\\nb\n" + kId + "  -          0  -\n");
  reply = {.count = 3};
  reply.names = {{"hall", 1}, {"room", 12}};
  CHECK(Asked({"groups", "--gateway", "gate"}, reply).outcome.out ==
        "GROUP  CLIENTS\nhall         1\nroom        12\n");
  const Asked partial({"count", "--gateway", "gate"}, {.partial = true, .count = 4});
  CHECK(partial.outcome.code == 5);
  CHECK(partial.outcome.out == "4\n");
  CHECK_THAT(partial.outcome.err, Catch::Contains("partial: a worker of the gateway is away"));
  const Asked failed({"send", "x", "--all", "--gateway", "gate"},
                     {.problem = GatewayProblem::not_sent, .count = 1, .failed = 2});
  CHECK(failed.outcome.code == 1);
  CHECK(failed.outcome.out == "sent to 1 client\n");
  CHECK_THAT(failed.outcome.err, Catch::Contains("not done for 2 clients: a client's protocol"));
  const Asked json({"count", "--json", "--gateway", "gate"}, {.partial = true, .count = 4});
  CHECK(json.outcome.code == 5);
  CHECK_THAT(json.outcome.out, Catch::StartsWith("{\"partial\":true,\"error\":null,\"count\":4,"));
  CHECK(json.outcome.err.empty());
}
