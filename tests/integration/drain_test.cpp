// What becomes of a connection that is in the middle of something when its worker is replaced.
#include <catch2/catch.hpp>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"

using namespace appserver::integration;

namespace {

// A reload to v2 that has come so far that new connections get the new code.
class ReloadUnderWay {
 public:
  ReloadUnderWay(Site& site, const Daemon& daemon) : address_(daemon.address()) {
    site.install(probe_v2());
    process_.emplace(std::vector<std::string>{ctl_binary(), "reload", "--socket",
                                              site.control_socket().string()});
    eventually(
        "a new connection is answered by the new code", 30s,
        [&] { return get(address_, "/").body == "v2\n"; }, [&] { return daemon.log(); });
  }

  void require_done() {
    const auto exit = process_->wait(60s);
    INFO(process_->out() << process_->err());
    REQUIRE(exit == Exit{0, 0});
  }

  Process& process() { return *process_; }

 private:
  Endpoint address_;
  std::optional<Process> process_;
};

}  // namespace

TEST_CASE("a request of which half the head is sent when the reload comes is answered") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.get("/").body == "v1\n");
  REQUIRE(client.send("GET /echo?text=whole HTTP/1.1\r\nHo") == Outcome::ok);
  ReloadUnderWay reload(site, daemon);
  const auto response = client.raw("st: x\r\n\r\n");
  INFO(response.text());
  REQUIRE(response.body == "whole\n");
  reload.require_done();
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

TEST_CASE("a request of which half the body is sent when the reload comes is answered") {
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\n";
  const auto [length, first, second] = GENERATE(table<std::string, std::string, std::string>({
      {"Content-Length: 8\r\n\r\n", "half", "half"},
      {"Transfer-Encoding: chunked\r\n\r\n", "8\r\nhalf", "half\r\n0\r\n\r\n"},
  }));
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection client(daemon.address());
  REQUIRE(client.send(head + length + first) == Outcome::ok);
  daemon.wait_for_status("the connection is accepted", [](const Status& status) {
    return status.group("api").workers.at(0).connections == 1;
  });
  ReloadUnderWay reload(site, daemon);
  const auto response = client.raw(second);
  INFO(response.text());
  REQUIRE(response.ok());
  REQUIRE(response.body.starts_with("8 v"));
  reload.require_done();
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

TEST_CASE("pipelined requests that wait behind one in flight are all answered, in order") {
  Site site(probe_group(1));
  Daemon daemon(site);
  Gate gate(site.root());
  Connection client(daemon.address());
  std::string requests = gate.request(daemon.address());
  for (const std::string text : {"two", "three"}) {
    requests += request_text("GET", "/echo?text=" + text, "x");
  }
  REQUIRE(client.send(requests) == Outcome::ok);
  gate.wait_until_reached();
  ReloadUnderWay reload(site, daemon);
  gate.open();
  REQUIRE(client.receive().body == "v1\n");
  REQUIRE(client.receive().body == "two\n");
  REQUIRE(client.receive().body == "three\n");
  reload.require_done();
  REQUIRE(client.get("/").body == "v2\n");
  REQUIRE(client.connects() == 1);
}

TEST_CASE(
    "a streamed answer that is under way when the reload comes arrives whole, from the old code") {
  constexpr int kPieces = 200;
  Site site(probe_group(1));
  Daemon daemon(site);
  Connection client(daemon.address());
  const std::string target = "/stream?pieces=" + std::to_string(kPieces);
  REQUIRE(client.send(request_text("GET", target, "x")) == Outcome::ok);
  daemon.wait_for_status("the answer is under way", [](const Status& status) {
    return status.group("api").workers.at(0).in_flight == 1;
  });
  ReloadUnderWay reload(site, daemon);
  const auto response = client.receive();
  INFO(response.text());
  REQUIRE(response.ok());
  REQUIRE(response.body.size() == kPieces * 3);
  REQUIRE(response.body.find("v2") == std::string::npos);
  reload.require_done();
  REQUIRE(client.get("/").body == "v2\n");
}

TEST_CASE("a request that outlasts drain_timeout is cut, and the reload says so and exits with 5") {
  Site site(probe_group(1, "    reload: {drain_timeout: 500ms}\n"));
  Daemon daemon(site);
  daemon.expect_error("rollout");
  Gate gate(site.root());
  Connection client(daemon.address());
  REQUIRE(client.send(gate.request(daemon.address())) == Outcome::ok);
  gate.wait_until_reached();
  ReloadUnderWay reload(site, daemon);
  REQUIRE(client.receive().outcome != Outcome::ok);
  const auto exit = reload.process().wait(30s);
  const std::string said = reload.process().out() + reload.process().err();
  INFO(said);
  REQUIRE(exit.has_value());
  REQUIRE(exit->code == 5);
  REQUIRE(said.find("1 connection was cut") != std::string::npos);
  REQUIRE(get(daemon.address(), "/").body == "v2\n");
}
