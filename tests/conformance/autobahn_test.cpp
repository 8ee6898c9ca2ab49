// The Autobahn test suite for WebSocket (sections 1 to 7 and 10), as it was recorded against a
// server that passes it: one JSON a case, with the bytes of client and server in hexadecimal
// digits, opening handshake included.
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon.hpp"
#include "support/scratch_dir.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCases = 247;
// Where the suite takes another close code than the recorded one, and RFC 6455, section 7.4, knows
// a better one.
struct Alternative {
  std::string_view file;
  std::string_view answer;
};
constexpr std::array<Alternative, 3> kAlternatives{{
    {"0222.json", "\x88\x02\x03\xef"},  // a reason that is not UTF-8: 1007
    {"0245.json", "\x88\x02\x03\xea"},  // a code that may not be sent, 5000: 1002
    {"0246.json", "\x88\x02\x03\xea"},  // ... 65535
}};

constexpr std::string_view kHeadEnd = "\r\n\r\n";

std::optional<fs::path> archive() {
  const char* folder = std::getenv("APPSERVER_CORPORA");
  const auto file =
      (folder ? fs::path(folder) : fs::path(APPSERVER_SOURCE_DIR) / "../shared/corpora") /
      "autobahn-247-recorded.tgz";
  return fs::exists(file) ? std::optional(file) : std::nullopt;
}

int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

std::string bytes_of(const boost::json::value& entry, const char* key) {
  const std::string_view hex = entry.at(key).as_string();
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  return bytes;
}

std::string behind_head(const std::string& bytes) {
  const std::size_t end = bytes.find(kHeadEnd);
  return end == std::string::npos ? "no head: " + bytes : bytes.substr(end + kHeadEnd.size());
}

// What a client that sends all this gets until the server ends the connection.
std::string replay(const Endpoint& endpoint, std::string_view client) {
  Talk talk(endpoint, 20s);
  talk.send_bytes(client);
  std::string received;
  while (auto piece = talk.receive()) received += *piece;
  return received;
}

}  // namespace

TEST_CASE("every recorded case of the Autobahn suite is answered as it should be") {
  const auto file = archive();
  if (!file) {
    WARN("skipped: no autobahn-247-recorded.tgz; set APPSERVER_CORPORA to the folder that has it");
    return;
  }
  const ScratchDir folder;
  Process tar({"tar", "-xzf", file->native(), "-C", folder.path().native()});
  REQUIRE(tar.wait(30s) == Exit{0});
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(folder.path() / "rec"))
    cases.push_back(entry.path());
  std::ranges::sort(cases);
  REQUIRE(cases.size() == kCases);

  Site site("groups:\n  api: {plugin: echo, listen: 'ws://127.0.0.1:0'}\n");
  site.install(shipped_plugin("echo"), "echo");
  Daemon daemon(site);
  // The cases bring their own handshake.
  Endpoint endpoint = daemon.address();
  endpoint.scheme = "tcp";
  for (const fs::path& one : cases) {
    INFO(one.filename());
    const boost::json::value entry = boost::json::parse(read_whole(one));
    const std::string got = replay(endpoint, bytes_of(entry, "c2s"));
    std::string expected = behind_head(bytes_of(entry, "s2c"));
    for (const auto& [name, answer] : kAlternatives) {
      if (one.filename() == name) expected = answer;
    }
    CHECK(got.starts_with("HTTP/1.1 101 "));
    CHECK(behind_head(got) == expected);
  }
}
