// Compressed answers, as clients of the daemon see them.
#include <zlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/scratch_dir.hpp"
#include "support/talk.hpp"
#include "support/verdict.hpp"

using namespace appserver::integration;

namespace {

std::string group(const std::string& plugin, const std::string& more) {
  return "groups:\n  api: {plugin: " + plugin + ", count: 1, listen: http://127.0.0.1:0, " + more +
         "}\n";
}

// What can be read of it so far.
std::string unpack(const std::string& packed) {
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string input = packed;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  std::vector<char> text(std::size_t{16} << 20);
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  ::inflate(&stream, Z_SYNC_FLUSH);
  const std::size_t size = text.size() - stream.avail_out;
  ::inflateEnd(&stream);
  return {text.data(), size};
}

// Of the whole chunks of an answer that have come.
std::string chunk_data(std::string_view answer) {
  const auto head_end = answer.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return {};
  answer.remove_prefix(head_end + 4);
  std::string data;
  for (;;) {
    const auto line = answer.find("\r\n");
    if (line == std::string_view::npos) return data;
    const std::size_t size = std::stoul(std::string(answer.substr(0, line)), nullptr, 16);
    if (size == 0 || answer.size() < line + 2 + size + 2) return data;
    data.append(answer.substr(line + 2, size));
    answer.remove_prefix(line + 2 + size + 2);
  }
}

std::string wanting(const std::string& target, const std::string& more = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n" + more + "\r\n";
}

std::string lines(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "line " + std::to_string(i) + "\n";
  return text;
}

}  // namespace

TEST_CASE(
    "files are compressed for who takes it, with validators that hold, and ranges as they are") {
  const ScratchDir scratch;
  const std::string small = lines(1'000);
  const std::string large = lines(500'000);
  write_file(scratch.path() / "small.txt", small);
  write_file(scratch.path() / "large.txt", large);
  Site site(group("file-server",
                  "compress: true, settings: {folder: '" + scratch.path().string() + "'}"));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection connection(daemon.address());

  const auto plain = connection.get("/small.txt");
  REQUIRE(plain.body == small);
  REQUIRE(plain.header("Vary") == "Accept-Encoding");
  for (const auto* text : {&small, &large}) {
    const auto packed = connection.raw(wanting(text == &small ? "/small.txt" : "/large.txt"));
    INFO(packed.text().substr(0, 500));
    REQUIRE(packed.ok());
    REQUIRE(packed.header("Content-Encoding") == "gzip");
    REQUIRE(packed.body.size() < text->size() / 3);
    REQUIRE((unpack(packed.body) == *text));
  }
  const auto packed = connection.raw(wanting("/small.txt"));
  REQUIRE(packed.header("ETag") == "W/" + plain.header("ETag"));
  const auto same =
      connection.raw(wanting("/small.txt", "If-None-Match: " + packed.header("ETag") + "\r\n"));
  REQUIRE(same.status == 304);
  REQUIRE(same.header("ETag") == packed.header("ETag"));
  const auto part = connection.raw(wanting("/small.txt", "Range: bytes=5-14\r\n"));
  REQUIRE(part.status == 206);
  REQUIRE(part.body == small.substr(5, 10));
  REQUIRE(part.header("Content-Encoding").empty());
  const auto stale = connection.raw(
      wanting("/small.txt", "Range: bytes=5-14\r\nIf-Range: " + packed.header("ETag") + "\r\n"));
  REQUIRE(stale.status == 200);
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("a reload brings compression and takes it away on a kept connection") {
  const ScratchDir scratch;
  write_file(scratch.path() / "a.txt", lines(1'000));
  const std::string settings = "settings: {folder: '" + scratch.path().string() + "'}";
  Site site(group("file-server", settings));
  site.install(shipped_plugin("file-server"), "file-server");
  Daemon daemon(site);
  Connection connection(daemon.address());
  for (const bool on : {false, true, false}) {
    site.configure(group("file-server", settings + (on ? ", compress: {level: 9}" : "")));
    require_exit(daemon.ctl({"reload", "--changed"}), kDone);
    const auto answer = connection.raw(wanting("/a.txt"));
    REQUIRE(answer.ok());
    REQUIRE(answer.header("Content-Encoding") == (on ? "gzip" : ""));
    REQUIRE(answer.header("Vary") == (on ? "Accept-Encoding" : ""));
  }
  REQUIRE(connection.connects() == 1);
}

TEST_CASE("events of a compressed stream arrive while it lasts") {
  Site site(group("clock", "compress: true"));
  site.install(shipped_plugin("clock"), "clock");
  Daemon daemon(site);
  Endpoint bytes = daemon.address();
  bytes.scheme = "tcp";
  Talk client(bytes);
  client.send_bytes(wanting("/events"));
  std::string received;
  // A second tick comes a second after the first, and the stream does not end: neither is kept
  // back.
  const auto has_two_ticks = [&received] {
    const std::string events = unpack(chunk_data(received));
    const auto first = events.find("event: tick");
    return first != std::string::npos && events.find("event: tick", first + 1) != std::string::npos;
  };
  while (!has_two_ticks()) {
    const auto more = client.receive();
    REQUIRE(more);
    received += *more;
  }
  REQUIRE(received.find("Content-Encoding: gzip\r\n") != std::string::npos);
}
