// The plugins worth copying, in the daemon.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/scratch_dir.hpp"

using namespace appserver::integration;

namespace {

std::string group(const std::string& plugin, const std::string& settings) {
  return "groups:\n  api: {plugin: " + plugin +
         ", count: 1, listen: http://127.0.0.1:0, settings: {" + settings + "}}\n";
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 4 & 0xff);
  return text;
}

}  // namespace

TEST_CASE("the file server serves a folder, a large file whole and in parts, and nothing above") {
  const ScratchDir scratch;
  const std::string large = pattern(5'000'000);
  std::filesystem::create_directories(scratch.path() / "www/docs");
  write_file(scratch.path() / "secret", "secret");
  write_file(scratch.path() / "www/docs/index.html", "<p>docs");
  write_file(scratch.path() / "www/large.bin", large);
  Site site(group("file-server", "folder: " + (scratch.path() / "www").string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection connection(daemon.address());

  REQUIRE(connection.get("/docs/").body == "<p>docs");
  REQUIRE(connection.get("/docs").status == 301);
  REQUIRE(connection.get("/..%2fsecret").status == 404);
  REQUIRE(connection.get("/%2e%2e/secret").status == 404);

  const auto whole = connection.get("/large.bin");
  INFO(whole.text().substr(0, 300));
  REQUIRE(whole.ok());
  REQUIRE(whole.header("Content-Length") == "5000000");
  REQUIRE((whole.body == large));
  const std::string host = "\r\nHost: x\r\n";
  const auto part = connection.raw(
      "GET /large.bin HTTP/1.1" + host +
      "Range: bytes=1000000-3999999\r\nIf-Range: " + whole.header("ETag") + "\r\n\r\n");
  REQUIRE(part.status == 206);
  REQUIRE(part.header("Content-Range") == "bytes 1000000-3999999/5000000");
  REQUIRE((part.body == large.substr(1'000'000, 3'000'000)));
  const auto same = connection.raw("GET /large.bin HTTP/1.1" + host +
                                   "If-None-Match: " + whole.header("ETag") + "\r\n\r\n");
  REQUIRE(same.status == 304);
  REQUIRE(connection.send("HEAD /large.bin HTTP/1.1" + host + "\r\n") == Outcome::ok);
  const auto head = connection.receive(true);
  REQUIRE(head.ok());
  REQUIRE(head.header("Content-Length") == "5000000");
  REQUIRE(connection.get("/docs/").ok());
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("a client that does not read holds up neither the file server nor the others") {
  const ScratchDir scratch;
  const std::string large = pattern(30'000'000);
  write_file(scratch.path() / "large.bin", large);
  write_file(scratch.path() / "small.txt", "small");
  Site site(group("file-server", "folder: " + scratch.path().string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection slow(daemon.address());
  REQUIRE(slow.send("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  for (int i = 0; i < 20; ++i) REQUIRE(get(daemon.address(), "/small.txt").body == "small");
  const auto late = slow.receive();
  REQUIRE(late.ok());
  REQUIRE((late.body == large));
}

TEST_CASE("the file server is refused without its folder, and what ran goes on") {
  const ScratchDir scratch;
  write_file(scratch.path() / "a.txt", "a");
  Site site(group("file-server", "folder: " + scratch.path().string()));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  daemon.expect_error("No such file");
  site.configure(group("file-server", "folder: " + (scratch.path() / "none").string()));
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 3);
  REQUIRE(reload.text().find("none: No such file or directory") != std::string::npos);
  REQUIRE(get(daemon.address(), "/a.txt").body == "a");
}

TEST_CASE("the clock ticks in its clients, and a reload waits for no stream for long") {
  Site site(group("clock", "stream_for: 2"));
  site.install(shipped_plugin("clock"), "clock");
  Daemon daemon(site);
  REQUIRE(get(daemon.address(), "/").body.find("EventSource") != std::string::npos);
  Connection connection(daemon.address());
  REQUIRE(connection.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n") == Outcome::ok);
  const auto reload = daemon.ctl({"reload"});
  INFO(reload.text());
  REQUIRE(reload.exit.code == 0);
  const auto events = connection.receive();
  INFO(events.text());
  REQUIRE(events.ok());
  REQUIRE(events.header("Content-Type") == "text/event-stream");
  const std::size_t first = events.body.find("event: tick\nid: ");
  REQUIRE(first == 0);
  REQUIRE(events.body.find("event: tick\nid: ", first + 1) != std::string::npos);
  REQUIRE(get(daemon.address(), "/").ok());
}
