#include "control/gateway_api.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "control/api.hpp"
#include "control/base64.hpp"

using namespace appserver::control;

namespace json = boost::json;

namespace {

const std::string kId = "00000000000000aa-0000000000000007";

// "{"gateway": "gate", MORE}"
std::string request(const std::string& more) { return "{\"gateway\": \"gate\", " + more + "}"; }

std::string problem_of(const std::string& body) {
  try {
    static_cast<void>(parse_gateway(body));
  } catch (const BadJson& bad) {
    return bad.what();
  }
  return "(none)";
}

GatewayRequest again(const GatewayRequest& request) {
  return parse_gateway(json::serialize(to_json(request)));
}

}  // namespace

TEST_CASE("base64 goes both ways, and only its own form is taken") {
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"\xff\xfe\xfb", "//77"}}) {
    CHECK(to_base64(bytes) == text);
    CHECK(from_base64(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(from_base64(to_base64(all)) == all);
  for (const char* wrong :
       {"Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9v", "Z-9v"})
    CHECK_FALSE(from_base64(wrong));
}

TEST_CASE("a request of each verb is what it was on the other side") {
  GatewayRequest send{.gateway = "gate", .verb = GatewayVerb::send, .scope = GatewayScope::groups};
  send.of = {"news", "sport"};
  send.except = {kId};
  send.body = "a\n\"b\"";
  send.timeout = std::chrono::milliseconds(700);
  CHECK(again(send) == send);
  send.body = std::string("\xff\0\x01", 3);
  send.binary = true;
  CHECK(again(send) == send);
  GatewayRequest close{.gateway = "gate", .verb = GatewayVerb::close, .scope = GatewayScope::uids};
  close.of = {"ann"};
  close.code = 4001;
  close.body = "bye";
  CHECK(again(close) == close);
  GatewayRequest set{
      .gateway = "gate", .verb = GatewayVerb::set_session, .scope = GatewayScope::clients};
  set.of = {kId};
  set.body = "\xff";
  set.expected = 0;
  CHECK(again(set) == set);
  GatewayRequest clients{.gateway = "gate", .verb = GatewayVerb::clients, .sessions = true};
  CHECK(again(clients) == clients);
  for (const GatewayVerb verb :
       {GatewayVerb::bind_uid, GatewayVerb::join_group, GatewayVerb::leave_group}) {
    GatewayRequest named{.gateway = "gate", .verb = verb, .scope = GatewayScope::clients};
    named.of = {kId};
    named.name = "room";
    CHECK(again(named) == named);
  }
  GatewayRequest ungroup{.gateway = "gate", .verb = GatewayVerb::ungroup, .name = "room"};
  CHECK(again(ungroup) == ungroup);
  for (const GatewayVerb verb :
       {GatewayVerb::destroy, GatewayVerb::unbind_uid, GatewayVerb::session, GatewayVerb::count,
        GatewayVerb::uids, GatewayVerb::groups}) {
    const GatewayRequest plain{.gateway = "gate", .verb = verb};
    CHECK(again(plain) == plain);
  }
}

TEST_CASE("whom a request is about is named, and all is meant by default only where it asks") {
  CHECK(parse_gateway(request("\"verb\": \"count\"")).scope == GatewayScope::all);
  for (const std::string verb : {"clients", "count", "uids", "groups"})
    CHECK(problem_of(request("\"verb\": \"" + verb + "\"")) == "(none)");
  CHECK_THAT(problem_of(request("\"verb\": \"send\", \"text\": \"x\"")),
             Catch::Contains("scope: missing; say whom it is about"));
  for (const std::string verb : {"close", "destroy", "unbind_uid", "session"})
    CHECK_THAT(problem_of(request("\"verb\": \"" + verb + "\"")),
               Catch::Contains("scope: missing"));
  CHECK_THAT(problem_of(request(R"("verb": "count", "of": ["a"])")),
             Catch::Contains("scope: missing"));
  CHECK_THAT(problem_of(request(R"("verb": "count", "scope": "uids", "of": [])")),
             Catch::Contains("of: empty"));
  CHECK_THAT(problem_of(request(R"("verb": "count", "scope": "all", "of": ["a"])")),
             Catch::Contains("of: it does not go with the scope all"));
  CHECK_THAT(problem_of(request(R"("verb": "ungroup", "name": "a", "scope": "all")")),
             Catch::Contains("scope: ungroup is about a group"));
  CHECK_THAT(problem_of(request(R"("verb": "set_session", "text": "", "scope": "all")")),
             Catch::Contains("scope: set_session is about one client"));
}

TEST_CASE("a request that is not of its shape is refused by the key that is wrong") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "verb: missing"},
      {"[]", "document: expected an object"},
      {"{\"verb\": \"count\"}", "gateway: missing"},
      {R"({"verb": "count", "gateway": ""})", "gateway: empty"},
      {request(R"("verb": "shout")"), "verb: unknown word \"shout\"; known: send, close, "},
      {request(R"("verb": "count", "text": "x")"), "text: count does not take it"},
      {request(R"("verb": "count", "sessions": true)"), "sessions: count does not take it"},
      {request(R"("verb": "clients", "sessions": 1)"), "sessions: expected true or false"},
      {request(R"("verb": "count", "force": true)"), "force: unknown key"},
      {request(R"("verb": "send", "scope": "all")"), "text: missing; send needs it"},
      {request(R"("verb": "send", "scope": "all", "text": "a", "base64": "")"),
       "base64: there is a text as well"},
      {request(R"("verb": "send", "scope": "all", "base64": "a")"), "base64: not base64"},
      {request(R"("verb": "send", "scope": "us", "text": "a")"), "scope: unknown word"},
      {request(R"("verb": "send", "scope": "clients", "of": ["7"], "text": "a")"),
       "of: \"7\" is no id of a client"},
      {request(R"("verb": "send", "scope": "all", "except": ["x"], "text": "a")"),
       "except: \"x\" is no id of a client"},
      {request(R"("verb": "destroy", "scope": "uids", "of": [""])"), "of: the name of a uid"},
      {request(R"("verb": "join_group", "scope": "all")"), "name: missing"},
      {request(R"("verb": "join_group", "scope": "all", "name": ""})"), "not JSON"},
      {request(R"("verb": "join_group", "scope": "all", "name": "")"), "name: the name of a uid"},
      {request(R"("verb": "close", "scope": "all", "code": 1005)"), "code: not a code"},
      {request(R"("verb": "close", "scope": "all", "code": 70000)"), "code: not a code"},
      {request(R"("verb": "close", "scope": "all", "base64": "")"), "base64: a reason is a text"},
      {request(R"("verb": "count", "timeout_ms": 0)"), "timeout_ms: expected 1 to 60000"},
      {request(R"("verb": "count", "timeout_ms": 60001)"), "timeout_ms: expected 1 to 60000"},
      {request(
           R"("verb": "set_session", "scope": "clients", "text": "", "expected": -1, "of": [")" +
           kId + "\"]"),
       "expected: expected a whole number"},
  };
  for (const auto& [body, problem] : cases) {
    CAPTURE(body);
    CHECK_THAT(problem_of(body), Catch::StartsWith(problem));
  }
}

TEST_CASE("what is over a bound is refused") {
  const auto with = [](const std::string& verb, const std::string& text) {
    return request("\"verb\": \"" + verb + "\", \"scope\": \"clients\", \"of\": [\"" + kId +
                   "\"], \"text\": \"" + text + "\"");
  };
  CHECK(problem_of(with("send", std::string(kMaxGatewayMessage, 'x'))) == "(none)");
  CHECK_THAT(problem_of(with("send", std::string(kMaxGatewayMessage + 1, 'x'))),
             Catch::Contains("text: over 1048576 bytes"));
  CHECK(problem_of(with("set_session", std::string(kMaxGatewaySession, 'x'))) == "(none)");
  CHECK_THAT(problem_of(with("set_session", std::string(kMaxGatewaySession + 1, 'x'))),
             Catch::Contains("text: over 65536 bytes"));
  CHECK_THAT(problem_of(with("close", std::string(124, 'x'))), Catch::Contains("over 123 bytes"));
  const auto joined = [](std::size_t count) {
    std::string names;
    for (std::size_t i = 0; i < count; ++i) names += (i == 0 ? "\"a\"" : ",\"a\"");
    return request("\"verb\": \"count\", \"scope\": \"uids\", \"of\": [" + names + "]");
  };
  CHECK(problem_of(joined(kMaxGatewayNamed)) == "(none)");
  CHECK_THAT(problem_of(joined(kMaxGatewayNamed + 1)), Catch::Contains("more than 10000"));
  CHECK_THAT(problem_of(request("\"verb\": \"join_group\", \"scope\": \"all\", \"name\": \"" +
                                std::string(256, 'x') + "\"")),
             Catch::Contains("1 to 255 bytes"));
  CHECK_THAT(problem_of(std::string(10'000, '[')), Catch::StartsWith("not JSON"));
}

TEST_CASE("a reply is what it was on the other side, bytes too") {
  GatewayReply reply;
  reply.partial = true;
  reply.problem = GatewayProblem::full;
  reply.count = 3;
  reply.failed = 1;
  reply.version = 9;
  reply.clients = {{kId, "ann", 4, "of text"}, {kId, "", 0, std::nullopt}, {kId, "b", 1, "\xff"}};
  reply.names = {{"a", 1}, {"b", 2}};
  CHECK(gateway_reply_from_json(parse_json(json::serialize(to_json(reply)))) == reply);
  CHECK(gateway_reply_from_json(parse_json(json::serialize(to_json(GatewayReply{})))) ==
        GatewayReply{});
  reply.names = {{"\xff", 2}};
  const auto shown = gateway_reply_from_json(parse_json(json::serialize(to_json(reply))));
  CHECK(shown.names == std::map<std::string, std::uint64_t>{{"\\xff", 2}});
}

TEST_CASE("a reply of another shape is refused") {
  for (
      const char* wrong :
      {"{}", "[]", R"({"partial": 1})",
       R"({"partial": false, "error": "odd", "count": 0, "failed": 0, "version": 0, "clients": [], "names": []})",
       R"({"partial": false, "count": -1, "failed": 0, "version": 0, "clients": [], "names": []})",
       R"({"partial": false, "count": 0, "failed": 0, "version": 0, "clients": [1], "names": []})",
       R"({"partial": false, "count": 0, "failed": 0, "version": 0, "clients": [], "names": {}})"})
    CHECK_THROWS_AS(gateway_reply_from_json(parse_json(wrong)), BadJson);
}

TEST_CASE("each problem has words with a way out, and only the verbs that ask ask") {
  for (const auto problem : {GatewayProblem::no_client, GatewayProblem::conflict,
                             GatewayProblem::full, GatewayProblem::too_large})
    CHECK_THAT(std::string(to_words(problem)), Catch::Contains(";"));
  CHECK(asks(GatewayVerb::count));
  CHECK(asks(GatewayVerb::session));
  CHECK_FALSE(asks(GatewayVerb::set_session));
  CHECK(gateway_verb("join_group") == GatewayVerb::join_group);
  CHECK_FALSE(gateway_verb("join"));
}
