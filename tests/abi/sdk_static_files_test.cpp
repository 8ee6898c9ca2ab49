// Files of a folder: what is there, what is not, and in which pieces.
#include <sys/stat.h>

#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <appserver/static_files.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "scripted.hpp"

using namespace appserver;
namespace fs = std::filesystem;

namespace {

class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "static-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { fs::remove_all(path_); }

  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

void write(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 4 & 0xff);
  return text;
}

constexpr std::size_t kBig = 3'000'001;

struct Fixture : fake::Scripted {
  Scratch scratch;
  std::unique_ptr<StaticFiles> files;

  Fixture() {
    write(scratch / "secret.txt", "secret");
    write(scratch / "public/a.txt", "0123456789");
    write(scratch / "public/a b%41.HTML", "blank");
    write(scratch / "public/noext", "?");
    write(scratch / "public/empty", "");
    write(scratch / "public/big.bin", pattern(kBig));
    write(scratch / "public/docs/index.html", "<p>docs");
    write(scratch / "public/bare/x.txt", "x");
    write(scratch / "public/.hidden", "hidden");
    write(scratch / "public/.git/config", "hidden");
    fs::create_symlink("../secret.txt", scratch / "public/out.txt");
    fs::create_symlink("..", scratch / "public/up");
    fs::create_symlink(scratch / "public/a.txt", scratch / "public/absolute.txt");
    fs::create_symlink("a.txt", scratch / "public/inside.txt");
    fs::create_symlink("loop", scratch / "public/loop");
    fs::create_symlink("/proc/self/environ", scratch / "public/environ");
    REQUIRE(::mkfifo((scratch / "public/fifo").c_str(), 0600) == 0);
    use({});
  }

  void use(StaticOptions options) {
    files =
        std::make_unique<StaticFiles>(worker(), (scratch / "public").string(), std::move(options));
    on_request([this](Request& request, Response& response) { files->serve(request, response); });
  }
  fake::Answer get(const std::string& target, const fake::Fields& headers = {},
                   const std::string& method = "GET") {
    return answer({.target = target, .method = method, .headers = headers});
  }
  fake::Answer range(const std::string& value, const std::string& target = "/a.txt") {
    return get(target, {{"Range", value}});
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a file is served with its type and its validators") {
  const auto got = get("/a.txt");
  REQUIRE(got.status == 200);
  REQUIRE(got.body == "0123456789");
  REQUIRE(got.header("Content-Type") == "text/plain; charset=utf-8");
  REQUIRE(got.header("Accept-Ranges") == "bytes");
  REQUIRE(got.header("X-Content-Type-Options") == "nosniff");
  REQUIRE(got.header("ETag").front() == '"');
  REQUIRE(detail::parse_http_date(got.header("Last-Modified")));
  REQUIRE(got.header("Cache-Control") == "(none)");
  REQUIRE(get("/a%20b%2541.HTML?v=1").header("Content-Type") == "text/html; charset=utf-8");
  REQUIRE(get("/noext").header("Content-Type") == "application/octet-stream");
  REQUIRE(get("/empty").status == 200);
  REQUIRE(get("/empty").body.empty());
  REQUIRE(get("/inside.txt").body == "0123456789");
}

TEST_CASE_METHOD(Fixture, "options give cache headers, types, hidden files and the index") {
  use({.index = "x.txt", .hidden = true, .cache_control = "max-age=60", .types = {{"txt", "a/b"}}});
  REQUIRE(get("/a.txt").header("Cache-Control") == "max-age=60");
  REQUIRE(get("/a.txt").header("Content-Type") == "a/b");
  REQUIRE(get("/.hidden").body == "hidden");
  REQUIRE(get("/bare/").body == "x");
  REQUIRE(get("/docs/").status == 404);
  REQUIRE(get("/../secret.txt").status == 404);
  use({.index = ""});
  REQUIRE(get("/docs/").status == 404);
  REQUIRE(get("/docs").status == 404);
}

TEST_CASE_METHOD(Fixture, "nothing outside the folder, hidden, or not a regular file is there") {
  const char* const target = GENERATE(
      "/../secret.txt", "/..", "/docs/../../secret.txt", "/docs/../a.txt", "/%2e%2e/secret.txt",
      "/.%2e/secret.txt", "/%2E./secret.txt", "/..%2fsecret.txt", "/..%2Fsecret.txt",
      "/%2e%2e%2fsecret.txt", "/docs%2f..%2f..%2fsecret.txt", "/docs%2findex.html",
      "/..%5csecret.txt", "/..\\secret.txt", "/docs\\index.html", "/%252e%252e/secret.txt",
      "/..;/secret.txt", "/.../secret.txt", "/....//secret.txt", "/%c0%ae%c0%ae/secret.txt",
      "/%c0%af../secret.txt", "//a.txt", "/docs//index.html", "/./a.txt", "/a.txt/.",
      "//etc/passwd", "/%2fetc/passwd", "/%2f%2fetc%2fpasswd", "/a.txt%00", "/a.txt%00.html",
      "/%00", "/a.txt%0d%0aX:%20y", "/a.txt/", "/a.txt/x", "/out.txt", "/up/secret.txt", "/up/",
      "/absolute.txt", "/loop", "/environ", "/fifo", "/.hidden", "/.git/config", "/.git/",
      "/%2egit/config", "/%2Ehidden", "/bare/", "/bare", "/", "/none", "/A.txt", "/a.txt%20",
      "/a.txt.", "/~root", "/file:/etc/passwd");
  CAPTURE(target);
  const auto got = get(target);
  REQUIRE(got.status == 404);
  REQUIRE(got.body == "Not Found\n");
}

TEST_CASE_METHOD(Fixture,
                 "a path that is not percent-encoded rightly gets 400, one that is too long 404") {
  for (const char* target : {"/%", "/%2", "/%zz", "/docs/%"}) {
    CAPTURE(target);
    REQUIRE(get(target).status == 400);
  }
  REQUIRE(get("/" + std::string(300, 'x')).status == 404);
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += "/x";
  REQUIRE(get(deep).status == 404);
}

TEST_CASE_METHOD(Fixture, "a folder that is not there, or a file, cannot be served from") {
  REQUIRE_THROWS_AS(StaticFiles(worker(), (scratch / "none").string()), std::system_error);
  REQUIRE_THROWS_AS(StaticFiles(worker(), (scratch / "secret.txt").string()), std::system_error);
}

TEST_CASE_METHOD(Fixture,
                 "a folder shows its index, and without a slash points to the one with it") {
  REQUIRE(get("/docs/").body == "<p>docs");
  REQUIRE(get("/docs/").header("Content-Type") == "text/html; charset=utf-8");
  const auto moved = get("/docs?a=1%20&b");
  REQUIRE(moved.status == 301);
  REQUIRE(moved.header("Location") == "./docs/?a=1%20&b");
  REQUIRE(get("/%64ocs").header("Location") == "./%64ocs/");
}

TEST_CASE_METHOD(Fixture, "files are only read") {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get"}) {
    CAPTURE(method);
    const auto got = get("/a.txt", {}, method);
    REQUIRE(got.status == 405);
    REQUIRE(got.header("Allow") == "GET, HEAD");
  }
}

TEST_CASE_METHOD(Fixture, "HEAD has the headers of GET, and the length") {
  for (const char* target : {"/a.txt", "/big.bin", "/empty"}) {
    CAPTURE(target);
    const auto got = get(target, {}, "HEAD");
    REQUIRE(got.status == 200);
    REQUIRE(got.state == fake::State::kAnswered);
    REQUIRE(got.body.empty());
    REQUIRE(got.content_length ==
            static_cast<std::int64_t>(fs::file_size(scratch / ("public" + std::string(target)))));
    REQUIRE(got.header("ETag") == get(target).header("ETag"));
  }
  REQUIRE(get("/a.txt", {{"Range", "bytes=0-1"}}, "HEAD").status == 200);
}

TEST_CASE_METHOD(Fixture, "conditions are held against the validators, in the order of RFC 9110") {
  const auto now = get("/a.txt");
  const std::string etag = now.header("ETag");
  const std::string date = now.header("Last-Modified");
  const std::string before = "Sun, 06 Nov 1994 08:49:37 GMT";
  const std::string after = "Fri, 01 Jan 2100 00:00:00 GMT";
  const auto status = [&](const fake::Fields& headers) { return get("/a.txt", headers).status; };

  REQUIRE(status({{"If-None-Match", etag}}) == 304);
  REQUIRE(status({{"If-None-Match", "W/" + etag}}) == 304);
  REQUIRE(status({{"If-None-Match", "\"x\", W/\"y,\" ," + etag}}) == 304);
  REQUIRE(status({{"If-None-Match", "\"x\""}, {"If-None-Match", etag}}) == 304);
  REQUIRE(status({{"If-None-Match", "*"}}) == 304);
  REQUIRE(status({{"If-None-Match", "\"x\""}}) == 200);
  REQUIRE(status({{"If-None-Match", "x"}}) == 200);
  REQUIRE(status({{"If-None-Match", ""}}) == 200);
  REQUIRE(status({{"If-None-Match", "\"" + etag}}) == 200);

  REQUIRE(status({{"If-Modified-Since", date}}) == 304);
  REQUIRE(status({{"If-Modified-Since", after}}) == 304);
  REQUIRE(status({{"If-Modified-Since", before}}) == 200);
  REQUIRE(status({{"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}}) == 200);
  REQUIRE(status({{"If-Modified-Since", "yesterday"}}) == 200);
  REQUIRE(status({{"If-Modified-Since", date}, {"If-None-Match", "\"x\""}}) == 200);
  REQUIRE(status({{"If-Modified-Since", before}, {"If-None-Match", etag}}) == 304);

  REQUIRE(status({{"If-Match", etag}}) == 200);
  REQUIRE(status({{"If-Match", "*"}}) == 200);
  REQUIRE(status({{"If-Match", "W/" + etag}}) == 412);
  REQUIRE(status({{"If-Match", "\"x\""}}) == 412);
  REQUIRE(status({{"If-Match", "\"x\""}, {"If-None-Match", etag}}) == 412);
  REQUIRE(status({{"If-Match", etag}, {"If-None-Match", etag}}) == 304);
  REQUIRE(status({{"If-Unmodified-Since", before}}) == 412);
  REQUIRE(status({{"If-Unmodified-Since", date}}) == 200);
  REQUIRE(status({{"If-Unmodified-Since", before}, {"If-Match", etag}}) == 200);

  const auto unchanged = get("/a.txt", {{"If-None-Match", etag}});
  REQUIRE(unchanged.body.empty());
  REQUIRE(unchanged.header("ETag") == etag);
  REQUIRE(unchanged.header("Last-Modified") == date);
}

TEST_CASE_METHOD(Fixture, "a file that takes another's place is another one, whatever its date") {
  const auto before = get("/a.txt").header("ETag");
  const auto time = fs::last_write_time(scratch / "public/a.txt");
  write(scratch / "public/new", "9876543210");
  fs::last_write_time(scratch / "public/new", time);
  fs::rename(scratch / "public/new", scratch / "public/a.txt");
  REQUIRE(get("/a.txt").header("ETag") != before);
  REQUIRE(get("/a.txt").body == "9876543210");
}

TEST_CASE_METHOD(Fixture, "a range gives a part") {
  const auto is = [&](const std::string& value, const std::string& body, const std::string& where) {
    CAPTURE(value);
    const auto got = range(value);
    REQUIRE(got.status == 206);
    REQUIRE(got.body == body);
    REQUIRE(got.header("Content-Range") == where);
  };
  is("bytes=0-0", "0", "bytes 0-0/10");
  is("bytes=2-4", "234", "bytes 2-4/10");
  is("bytes=8-", "89", "bytes 8-9/10");
  is("bytes=8-99", "89", "bytes 8-9/10");
  is("bytes=-3", "789", "bytes 7-9/10");
  is("bytes=-99", "0123456789", "bytes 0-9/10");
  is("BYTES= 0-1 ", "01", "bytes 0-1/10");
  is("bytes=0-99999999999999999999999", "0123456789", "bytes 0-9/10");
}

TEST_CASE_METHOD(Fixture, "a range beyond the end gets 416, one that is none the whole") {
  for (const char* value :
       {"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"}) {
    CAPTURE(value);
    REQUIRE(range(value).status == 416);
    REQUIRE(range(value).header("Content-Range") == "bytes */10");
  }
  REQUIRE(range("bytes=0-", "/empty").status == 416);
  for (const char* value :
       {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "bytes=1", "bytes=+1-2",
        "bytes=1--2", "bytes=0-1,3-4", "items=0-1", "bytes 0-1", "bytes=0x1-2", "bytes=1 -2"}) {
    CAPTURE(value);
    REQUIRE(range(value).status == 200);
    REQUIRE(range(value).body == "0123456789");
  }
}

TEST_CASE_METHOD(Fixture, "If-Range decides whether a range is looked at") {
  const auto status = [&](const std::string& condition) {
    return get("/a.txt", {{"Range", "bytes=0-1"}, {"If-Range", condition}}).status;
  };
  const auto etag = get("/a.txt").header("ETag");
  REQUIRE(status(etag) == 206);
  REQUIRE(status("W/" + etag) == 200);
  REQUIRE(status("\"x\"") == 200);
  REQUIRE(status("Sun, 06 Nov 1994 08:49:37 GMT") == 200);
  REQUIRE(status("") == 200);
  REQUIRE(status(get("/a.txt").header("Last-Modified")) == 200);  // written a moment ago
  fs::last_write_time(scratch / "public/a.txt",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  REQUIRE(status(get("/a.txt").header("Last-Modified")) == 206);
}

TEST_CASE_METHOD(Fixture, "a large file goes out in pieces, as fast as the client reads") {
  host.set_write_bound(300'000);
  const auto id = plugin.request({.target = "/big.bin"});
  host.advance(1000);
  std::size_t before = 0;
  for (int i = 0; i < 100 && host.answer(id).state == fake::State::kStreaming; ++i) {
    const auto size = host.answer(id).body.size();
    REQUIRE(size - before <= 300'000 + 64 * 1024);
    host.advance(1000);
    REQUIRE(host.answer(id).body.size() == size);  // nothing was read
    before = size;
    host.read(id);
    host.advance(1000);
  }
  REQUIRE(host.answer(id).state == fake::State::kAnswered);
  REQUIRE(host.answer(id).content_length == static_cast<std::int64_t>(kBig));
  REQUIRE((host.answer(id).body == pattern(kBig)));
  REQUIRE(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "a large file leaves the loop to others between pieces") {
  host.set_write_bound(kBig);
  const auto id = plugin.request({.target = "/big.bin", .headers = {{"Range", "bytes=1-"}}});
  REQUIRE(host.answer(id).body.size() < kBig / 2);
  host.advance(1);
  REQUIRE(host.answer(id).status == 206);
  REQUIRE((host.answer(id).body == pattern(kBig).substr(1)));
}

TEST_CASE_METHOD(Fixture, "however many large files are sent, each has its turn") {
  host.set_write_bound(kBig);
  std::vector<appserver_exchange> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(plugin.request({.target = "/big.bin"}));
  // All share one timer.
  REQUIRE(host.timers() == 1);
  host.advance(1000);
  REQUIRE(host.timers() == 0);
  for (const auto id : ids) REQUIRE((host.answer(id).body == pattern(kBig)));
}

TEST_CASE_METHOD(Fixture, "a file that is cut while it is sent ends its answer, not whole") {
  host.set_write_bound(0);
  const auto id = plugin.request({.target = "/big.bin"});
  fs::resize_file(scratch / "public/big.bin", 70'000);
  host.set_write_bound(kBig);
  host.advance(1000);
  REQUIRE(host.answer(id).state == fake::State::kAborted);
  REQUIRE(host.logged().find("a file was cut while it was sent") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a client that leaves ends its file") {
  host.set_write_bound(0);
  const auto id = plugin.request({.target = "/big.bin"});
  REQUIRE(host.timers() == 1);
  host.disconnect(id);
  host.advance(1000);
  REQUIRE(host.timers() == 0);
}

TEST_CASE_METHOD(Fixture, "a router hands the rest of its path on as it came") {
  Router router;
  router.get("/files/{path...}", [&](Request& request, Response& response, const Params& params) {
    files->serve(request, response, params.raw("path"));
  });
  on_request([&](Request& request, Response& response) { router.serve(request, response); });
  REQUIRE(get("/files/a.txt").body == "0123456789");
  REQUIRE(get("/files/a%20b%2541.HTML").body == "blank");
  REQUIRE(get("/files/docs").header("Location") == "./docs/");
  for (const char* target :
       {"/files/..%2fsecret.txt", "/files/../secret.txt", "/files//a.txt", "/files/", "/files"}) {
    CAPTURE(target);
    REQUIRE(get(target).status == 404);
  }
}

TEST_CASE("dates of HTTP are read in their three forms, and nothing else is one") {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994"}) {
    CAPTURE(text);
    REQUIRE(detail::parse_http_date(text) == 784111777);
  }
  REQUIRE(detail::http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  for (const char* text : {"", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT x",
                           "Sun, 66 Nov 1994 08:49:37 GMT", "06 Nov 1994 08:49:37 GMT"}) {
    CAPTURE(text);
    REQUIRE_FALSE(detail::parse_http_date(text));
  }
}
