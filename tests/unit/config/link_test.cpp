#include <catch2/catch.hpp>

#include "config/record.hpp"
#include "support.hpp"

using namespace appserver::config;
using Catch::Contains;

namespace {

std::string gate(const std::string& link, const std::string& count = "1") {
  return "groups:\n  gate:\n    kind: gateway\n    listen: ws://*:80\n    count: " + count +
         "\n    link: {" + link + "}\n";
}

std::string chat(const std::string& gateway) {
  return "groups:\n  chat:\n    kind: business\n    plugin: chat\n    gateway: {" + gateway + "}\n";
}

// The only problem.
std::string problem_of(const std::string& text) {
  const Lines problems = problems_of(text);
  INFO(text);
  REQUIRE(problems.size() == 1);
  return problems[0];
}

std::vector<std::string> texts_of(const Group& group) {
  std::vector<std::string> texts;
  for (const Listen& listen : group.addresses()) texts.push_back(listen.text);
  return texts;
}

const std::string kSecret = ", secret_file: s";
const std::string kTls = ", tls: {certificate: a.pem, key: a.key, client_ca: ca.pem}";

}  // namespace

TEST_CASE("each worker of a gateway has an address of its own for business workers") {
  const Group group =
      load_yaml(gate("listen: ['tcp://[::1]:7272', unix:run/x.sock]" + kSecret, "3")).groups[0];
  CHECK(texts_of(group) ==
        std::vector<std::string>{"ws://*:80", "tcp://[::1]:7272", "tcp://[::1]:7273",
                                 "tcp://[::1]:7274", "tcp://unix:/srv/run/x.sock",
                                 "tcp://unix:/srv/run/x.sock.1", "tcp://unix:/srv/run/x.sock.2"});
  CHECK_FALSE(group.addresses()[0].link_slot);
  CHECK(group.addresses()[3].link_slot == 2);
  CHECK(group.addresses()[3].port == 7274);
  CHECK(group.link.tls.secret_file == "/srv/s");
  CHECK(group.link.timeout == milliseconds(30'000));
}

TEST_CASE("a business group names gateways of other daemons by host, address or file") {
  const Group group = load_yaml(chat("connect: [tcp://gate.example:7272, 'tls://[::1]:7272', "
                                     "tcp://10.0.0.5:1, unix:x.sock], timeout: 5s, tls: {ca: "
                                     "ca.pem, server_name: gate}" +
                                     kSecret))
                          .groups[0];
  CHECK(group.of_gateway.empty());
  REQUIRE(group.link.connect.size() == 4);
  CHECK(group.link.connect[0].host == "gate.example");
  CHECK(group.link.connect[0].of_slot(2)->text == "tcp://gate.example:7274");
  CHECK(group.link.connect[1].tls);
  CHECK(group.link.connect[1].of_slot(1)->text == "tls://[::1]:7273");
  CHECK(group.link.connect[2].of_slot(65'534)->port == 65'535);
  CHECK_FALSE(group.link.connect[2].of_slot(65'535));
  CHECK(group.link.connect[3].of_slot(1)->unix_path == "/srv/x.sock.1");
  CHECK(group.link.tls.client_ca == "/srv/ca.pem");
  CHECK(group.link.server_name == "gate");
  CHECK(group.link.timeout == milliseconds(5000));
}

TEST_CASE("links are recorded and dumped as they are in force") {
  for (const std::string& text :
       {gate("listen: [tls://*:7272, tcp://127.0.0.1:8000, unix:x]" + kSecret + kTls, "2"),
        gate("listen: unix:x, timeout: 4s" + kSecret),
        chat("connect: [tls://gate:1, unix:x]" + kSecret +
             ", tls: {ca: a, certificate: b, key: c, server_name: n}"),
        chat("connect: tcp://gate:1" + kSecret)}) {
    const Config config = load_yaml(text);
    CHECK(group_from_json(to_json(config.groups[0])) == config.groups[0]);
    const Config again = load_text(dump(config), "/srv/app.yaml", environment_of({}));
    CHECK(again.groups == config.groups);
  }
}

TEST_CASE("a link without a secret is refused, with the way to one") {
  for (const std::string& text : {gate("listen: tcp://*:7272"), gate("listen: unix:x"),
                                  chat("connect: tcp://gate:7272"), chat("connect: unix:x")}) {
    CHECK_THAT(problem_of(text),
               Contains("'secret_file' is missing") && Contains("openssl rand -hex 32"));
  }
}

TEST_CASE("what is wrong with a link's addresses is named") {
  CHECK_THAT(problem_of(gate("secret_file: s")), Contains("add listen: tls://*:7272"));
  CHECK_THAT(problem_of(gate("listen: ws://*:7272" + kSecret)),
             Contains("a link is tcp://, tls://"));
  CHECK_THAT(problem_of(gate("listen: tcp://*:0" + kSecret)), Contains("n ports on"));
  CHECK_THAT(problem_of(gate("listen: tcp://*:65535" + kSecret, "2")), Contains("beyond 65535"));
  CHECK_THAT(problem_of(gate("listen: tls://unix:x" + kSecret)),
             Contains("nobody is between the ends of a unix socket"));
  CHECK_THAT(problem_of(chat("secret_file: s")), Contains("add connect: [tls://HOST:PORT]"));
  CHECK_THAT(problem_of(chat("connect: http://gate:1" + kSecret)),
             Contains("begins with tcp://, tls:// or unix:"));
  CHECK_THAT(problem_of(chat("connect: tcp://gate" + kSecret)), Contains("add a port"));
  CHECK_THAT(problem_of(chat("connect: tcp://*:7272" + kSecret)), Contains("names one host"));
  CHECK_THAT(problem_of(chat("connect: [tcp://a:1, tcp://a:1]" + kSecret)),
             Contains("is there twice"));
  CHECK_THAT(problem_of(gate("listen: tcp://*:7272, timeout: 10ms" + kSecret)),
             Contains("groups.gate.link.timeout"));
}

TEST_CASE("addresses of a link are nobody else's, those of its other workers neither") {
  CHECK_THAT(problem_of(gate("listen: tcp://*:79" + kSecret, "2")),
             Contains("tcp://*:80 is listened on twice"));
  CHECK_THAT(problem_of(gate("listen: tcp://*:79" + kSecret) +
                        "  api: {plugin: p, listen: 'http://127.0.0.1:79'}\n"),
             Contains("overlaps with tcp://*:79"));
}

TEST_CASE("TLS of a link is there where an address asks for it, and only there") {
  CHECK_THAT(problem_of(gate("listen: tls://*:7272" + kSecret)), Contains("needs a certificate"));
  CHECK_THAT(problem_of(gate("listen: tcp://*:7272" + kSecret + kTls)),
             Contains("no address of the link is under TLS"));
  CHECK_THAT(problem_of(gate("listen: tls://*:7272, tls: {certificate: a}" + kSecret)),
             Contains("'key' is missing"));
  CHECK_THAT(problem_of(chat("connect: tcp://gate:1, tls: {ca: a}" + kSecret)),
             Contains("no address of the link is under TLS"));
  CHECK_THAT(problem_of(chat("connect: tls://gate:1, tls: {key: a}" + kSecret)),
             Contains("'certificate' is missing"));
  CHECK(load_yaml(chat("connect: tls://gate:1" + kSecret)).groups.size() == 1);
}

TEST_CASE("a link elsewhere is a mistake") {
  CHECK_THAT(group_problems("    link: {listen: tcp://*:1}\n").at(0),
             Contains("only a group with `kind: gateway` has it"));
}
