// The request cases of llhttp's test suite against our reader.
#include <algorithm>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "http_stream.hpp"

using namespace appserver::net::http;

namespace {

namespace fs = std::filesystem;

// Cases in which we mean to differ from what the corpus expects, by id, with our verdict and the
// reason.
struct Exception {
  const char* verdict;
  const char* reason;
};
const std::map<std::string, Exception> kExceptions = {
    {"connection.md:No restart when keep-alive is off (1.0)",
     {"accept",
      "the first request is served and the connection closed; what is behind it is never looked "
      "at"}},
    {"content-length.md:Content-Length reset when no body is received",
     {"incomplete",
      "a test of llhttp's skip-body flag, which we lack: the announced body is awaited"}},
    {"invalid.md:HTTP protocol and ANNOUNCE method", {"accept", "any token is a method"}},
    {"invalid.md:Invalid method", {"accept", "any token is a method"}},
    {"invalid.md:Headers separated by LF",
     {"reject", "bare LF; the corpus notes the error as well"}},
    {"invalid.md:Missing CR between headers",
     {"reject", "bare LF; the corpus notes the error as well"}},
    {"sample.md:Line folding in header value with LF",
     {"reject", "bare LF and folding; the corpus notes the error too"}},
    {"method.md:CONNECT request", {"reject", "we are no proxy"}},
    {"method.md:CONNECT request with CAPS", {"reject", "we are no proxy"}},
    {"method.md:CONNECT with body", {"reject", "we are no proxy"}},
    {"uri.md:Underscore in hostname", {"reject", "CONNECT, and we are no proxy"}},
    {"method.md:M-SEARCH request",
     {"reject", "the target '*' is for OPTIONS only (RFC 9112 3.2.4)"}},
    {"method.md:PRI request HTTP2",
     {"reject", "the target '*' is for OPTIONS only; HTTP/2 is not spoken"}},
    {"method.md:SOURCE request with ICE", {"reject", "not HTTP"}},
    {"method.md:OPTIONS request with RTSP", {"reject", "not HTTP"}},
    {"method.md:ANNOUNCE request with RTSP", {"reject", "not HTTP"}},
    {"pipelining.md:Should parse multiple events",
     {"incomplete", "the last request announces one byte more than the corpus has"}},
    {"sample.md:No HTTP version", {"reject", "HTTP/0.9 is not spoken"}},
    {"transfer-encoding.md:POST with `chunked` as last transfer-encoding",
     {"reject", "of all codings only chunked is known; also a fragment in the target"}},
    {"transfer-encoding.md:POST with `chunked` as last transfer-encoding (multiple headers)",
     {"reject", "of all codings only chunked is known; also a fragment in the target"}},
    {"uri.md:Fragment in URI", {"reject", "a target has no fragment (RFC 9112 3.2)"}},
    {"uri.md:`host:port` and basic auth",
     {"reject", "user info in an http target is an error (RFC 9110 4.2.4)"}},
};

std::optional<fs::path> corpus_file() {
  const char* folder = std::getenv("APPSERVER_CORPORA");
  const auto file =
      (folder ? fs::path(folder) : fs::path(APPSERVER_SOURCE_DIR) / "../shared/corpora") /
      "http1-llhttp.json";
  return fs::exists(file) ? std::optional(file) : std::nullopt;
}

boost::json::array load(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return boost::json::parse(std::string(std::istreambuf_iterator<char>(in), {})).as_array();
}

std::string text(const boost::json::value& entry, const char* key) {
  return std::string(entry.at(key).as_string());
}

// llhttp does not look at Host, so most cases lack one; with it their own subject decides.
std::string with_host(std::string bytes) {
  const std::string version = " HTTP/1.1\r\n";
  for (auto at = bytes.find(version); at != std::string::npos; at = bytes.find(version, at + 1)) {
    const auto head_end = std::min(bytes.find("\r\n\r\n", at), bytes.size());
    auto head = bytes.substr(at, head_end - at);
    for (auto& c : head) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (head.find("\nhost:") == std::string::npos)
      bytes.insert(at + version.size(), "Host: corpus\r\n");
  }
  return bytes;
}

std::string verdict(const std::string& bytes, const std::string& expected,
                    const std::string& note) {
  Stream stream;
  stream.feed(bytes);
  // Many cases to be rejected stop in the middle of a head, which we judge when it is whole.
  if (expected == "reject" && stream.reading().end == Progress::need_head) stream.feed("\r\n\r\n");
  const auto& reading = stream.reading();
  if (reading.end == Progress::refused) return "reject";
  // Empty lines behind the last request are swallowed.
  const bool between =
      reading.end == Progress::need_head && reading.rest == 0 && !reading.requests.empty();
  if (reading.end == Progress::complete || between) return "accept";
  // Behind an upgrade the corpus has bytes of another protocol; we go on in HTTP.
  const bool upgraded = note.starts_with("Pause") && !reading.requests.empty();
  return upgraded ? "accept" : "incomplete";
}

}  // namespace

TEST_CASE("every strict request of the llhttp corpus is accepted or refused as it should be") {
  const auto file = corpus_file();
  if (!file) {
    WARN("skipped: no http1-llhttp.json; set APPSERVER_CORPORA to the folder that has it");
    return;
  }
  std::size_t judged = 0;
  std::map<std::string, int> exceptions_met;
  for (const auto& entry : load(*file)) {
    const auto type = text(entry, "type");
    if (type != "request" && type != "request-finish") continue;
    ++judged;
    const auto id = text(entry, "id");
    const auto note = text(entry, "note");
    auto expected = text(entry, "expect");
    const auto bytes = with_host(text(entry, "bytes"));
    const auto found = verdict(bytes, expected, note);
    if (const auto exception = kExceptions.find(id); exception != kExceptions.end()) {
      ++exceptions_met[id];
      expected = exception->second.verdict;
    }
    INFO(id << ": " << bytes);
    CHECK(found == expected);
  }
  CHECK(judged == 134);
  for (const auto& [id, exception] : kExceptions) {
    INFO("unused exception: " << id << " (" << exception.reason << ")");
    CHECK(exceptions_met[id] > 0);
  }
}
