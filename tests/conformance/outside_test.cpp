// Tools and clients of others against the built daemon. A test whose tool is missing names the
// package and passes; ./run says so as an error. Those named [.long] run there alone.
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/process.hpp"
#include "support/scratch_dir.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

// What is missing is an error where everything was asked for.
bool missing(const std::string& package) {
  if (std::getenv("APPSERVER_CONFORMANCE_ALL") != nullptr) FAIL("missing: " + package);
  WARN("not tried, missing: " + package);
  return true;
}

// The distribution's comes first: it has the distribution's packages. Empty: there is none.
std::string path_of(const std::string& program) {
  for (const char* folder : {"/usr/bin/", "/usr/local/bin/"}) {
    if (fs::exists(folder + program)) return folder + program;
  }
  return {};
}

std::string group(const std::string& plugin, const std::string& listen,
                  const std::string& more = {}) {
  return "groups:\n  api:\n    plugin: " + plugin + "\n    listen: '" + listen +
         "'\n    count: 1\n" + more;
}

std::string url(const Endpoint& endpoint) {
  return endpoint.scheme + "://127.0.0.1:" + std::to_string(endpoint.port) + "/";
}

constexpr int kSkipped = 77;

// Against plugins/echo at ws:// and, as an upgrade, at http://.
void run_client(const std::string& name, const std::string& script, const char* package) {
  const std::string program = path_of(name);
  if (program.empty()) {
    missing(package);
    return;
  }
  const std::string listen = GENERATE("ws://127.0.0.1:0", "http://127.0.0.1:0");
  Site site(group("echo", listen));
  site.install(shipped_plugin("echo"), "echo");
  Daemon daemon(site);
  Endpoint endpoint = daemon.address();
  endpoint.scheme = "ws";
  const Finished finished =
      run({program, APPSERVER_SOURCE_DIR "/tests/conformance/clients/" + script, url(endpoint)},
          Deadline(100s));
  INFO(finished.text());
  if (finished.exit.code == kSkipped) {
    missing(package);
    return;
  }
  CHECK(finished.exit.code == 0);
}

// A sanitizer's own memory counts, too.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kMostKib = std::size_t{4} << 20;
#else
constexpr std::size_t kMostKib = 100 * 1024;
#endif

std::size_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  FAIL("no VmRSS of " << pid);
  return 0;
}

}  // namespace

TEST_CASE("Python's websockets talks to the echo, compressed and not") {
  run_client("python3", "client.py", "python3-websockets");
}

TEST_CASE("Node's WebSockets talk to the echo") {
  run_client("node", "client.mjs", "nodejs, and npm's ws where Node is older than 22");
}

TEST_CASE("no path of the traversal list leads out of the file server's folder") {
  const char* const other = std::getenv("APPSERVER_TRAVERSAL_LIST");
  const fs::path list =
      other != nullptr ? other : "/usr/share/wfuzz/wordlist/vulns/dirTraversal-nix.txt";
  if (!fs::exists(list)) {
    missing("wfuzz (its " + list.string() + ")");
    return;
  }
  const ScratchDir scratch;
  fs::create_directories(scratch.path() / "www/docs");
  write_file(scratch.path() / "www/docs/a.txt", "a");
  Site site(group("file-server", "http://127.0.0.1:0",
                  "    settings: {folder: '" + (scratch.path() / "www").string() + "'}\n"));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  std::ifstream lines(list);
  Connection connection(daemon.address());
  std::size_t tried = 0;
  for (std::string path; std::getline(lines, path);) {
    for (const char* before : {"/", "/docs/", ""}) {
      const std::string target = before + path;
      CAPTURE(target);
      const auto answer = connection.raw("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
      INFO(answer.text());
      REQUIRE(answer.outcome == Outcome::ok);
      REQUIRE(answer.status >= 300);
      REQUIRE(answer.status < 500);
      REQUIRE(answer.body.find("root:") == std::string::npos);
      if (answer.header("Connection") == "close") connection.close();
      ++tried;
    }
  }
  CHECK(tried > 2000);
  CHECK(get(daemon.address(), "/docs/a.txt").body == "a");
}

TEST_CASE("one worker holds 10,000 idle WebSockets within 100 MiB") {
  constexpr std::size_t kWanted = 10'000;
  constexpr rlim_t kEnough = 2 * kWanted + 1000;
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  const rlimit raised{kEnough, std::max(kEnough, files.rlim_max)};
  const bool enough = ::setrlimit(RLIMIT_NOFILE, &raised) == 0;
  if (!enough) {
    const rlimit most{files.rlim_max, files.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &most) == 0);
  }
  // A worker takes half of its descriptors for connections.
  const std::size_t held = enough ? kWanted : files.rlim_max / 2 - 200;
  if (!enough) WARN("RLIMIT_NOFILE is " << files.rlim_max << ": " << held << " are held");
  Site site(group("echo", "ws://127.0.0.1:0", "    limits: {max_connections: 20000}\n"));
  site.install(shipped_plugin("echo"), "echo");
  Daemon daemon(site);
  const std::size_t before = resident_kib(daemon.pids().at(0));
  const Endpoint endpoint = daemon.address();
  std::vector<Talk> talks;
  talks.reserve(held);
  for (std::size_t i = 0; i < held; ++i) {
    talks.emplace_back(endpoint);
    REQUIRE(talks.back().ask("hello") == "hello");
  }
  const std::size_t after = resident_kib(daemon.pids().at(0));
  WARN(held << " connections: " << after << " KiB resident, " << before << " before them");
  CHECK(after <= kMostKib);
  for (std::size_t i = 0; i < held; i += 100) REQUIRE(talks[i].ask("still") == "still");
  CHECK(daemon.ctl({"reload"}).exit.code == 0);
  const std::size_t moved = resident_kib(daemon.pids().at(0));
  WARN("after a reload: " << moved << " KiB resident");
  CHECK(moved <= kMostKib);
  for (Talk& talk : talks) REQUIRE(talk.ask("moved") == "moved");
}

TEST_CASE("slowhttptest does not make the service unavailable", "[.long]") {
  const std::string program = path_of("slowhttptest");
  if (program.empty()) {
    missing("slowhttptest");
    return;
  }
  const std::string mode = GENERATE("-H", "-B", "-R", "-X");
  Site site(group("echo", "http://127.0.0.1:0"));
  site.install(shipped_plugin("echo"), "echo");
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  const std::string target = url(endpoint);
  const ScratchDir scratch;
  std::vector<std::string> arguments{"/usr/bin/env",
                                     "slowhttptest",
                                     mode,
                                     "-c",
                                     "500",
                                     "-r",
                                     "200",
                                     "-i",
                                     "3",
                                     "-l",
                                     "15",
                                     "-p",
                                     "2",
                                     "-u",
                                     target,
                                     "-t",
                                     mode == "-B" ? "POST" : "GET"};
  if (mode == "-X") arguments.insert(arguments.end(), {"-w", "1", "-y", "2", "-z", "1", "-k", "3"});
  Process tool(arguments);
  while (tool.running()) {
    const auto answer = get(endpoint, "/");
    INFO(mode << " " << answer.text());
    REQUIRE(answer.ok());
    pause_briefly();
  }
  INFO(tool.out() << tool.err());
  CHECK(tool.out().find("service available") != std::string::npos);
  CHECK(tool.out().find("service available:   NO") == std::string::npos);
}
