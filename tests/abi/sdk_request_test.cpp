#include <appserver/http.hpp>
#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

struct Raw {
  appserver_http_request raw{};
  std::vector<appserver_header> headers;

  explicit Raw(std::string_view path, std::string_view query = {}, std::string_view body = {},
               std::vector<appserver_header> fields = {})
      : headers(std::move(fields)) {
    raw.size = sizeof raw;
    raw.version = 11;
    raw.path = view(path);
    raw.query = view(query);
    raw.body = view(body);
    raw.headers = headers.data();
    raw.header_count = static_cast<std::uint32_t>(headers.size());
    raw.header_stride = sizeof(appserver_header);
  }
};

std::string query(std::string_view text, std::string_view name,
                  std::string_view fallback = "(none)") {
  const Raw raw("/", text);
  return appserver::Request(raw.raw).query(name, fallback);
}

}  // namespace

TEST_CASE("the first query parameter of a name is found and decoded") {
  REQUIRE(query("name=Ada", "name") == "Ada");
  REQUIRE(query("a=1&name=Ada&name=Eve", "name") == "Ada");
  REQUIRE(query("name=Ada+L%C3%B6we%21", "name") == "Ada L\xC3\xB6we!");
  REQUIRE(query("n%61me=Ada", "name") == "Ada");
  REQUIRE(query("my+name=Ada", "my name") == "Ada");
  REQUIRE(query("name=a%3Db%26c", "name") == "a=b&c");
  REQUIRE(query("name=a=b", "name") == "a=b");
  REQUIRE(query("name=%2B", "name") == "+");
  REQUIRE(query("name=%00x", "name") == std::string("\0x", 2));
}

TEST_CASE("a parameter without a value is there and empty, one that is not there is not") {
  REQUIRE(query("name", "name").empty());
  REQUIRE(query("name=", "name").empty());
  REQUIRE(query("a&name&b", "name").empty());
  REQUIRE(query("", "name") == "(none)");
  REQUIRE(query("&&=&", "name") == "(none)");
  REQUIRE(query("names=1&nam=2&Name=3", "name") == "(none)");
  REQUIRE(query("=5", "").compare("5") == 0);
}

TEST_CASE("wrong percent-encoding is refused where it is asked for and nowhere else") {
  for (const char* bad : {"name=%", "name=%4", "name=%zz", "name=%4g", "name=a%", "name=%%41"}) {
    CAPTURE(bad);
    REQUIRE_THROWS_AS(query(bad, "name"), appserver::BadRequest);
    REQUIRE(query(bad, "other") == "(none)");
  }
  REQUIRE(query("%=1&name=Ada", "name") == "Ada");
}

TEST_CASE("a query parameter converts to the type of its default") {
  const Raw raw("/", "ms=50&bad=5x&neg=-1&flag=yes");
  const appserver::Request request(raw.raw);
  REQUIRE(request.query("ms", 0) == 50);
  REQUIRE(request.query("ms", 0.5) == 50.0);
  REQUIRE(request.query("none", 7) == 7);
  REQUIRE(request.query("flag", false));
  REQUIRE_THROWS_AS(request.query("bad", 0), appserver::BadRequest);
  REQUIRE_THROWS_AS(request.query("neg", 0U), appserver::BadRequest);
}

TEST_CASE("the path is given as sent, and decoded strictly") {
  const Raw raw("/a%20b+c");
  const appserver::Request request(raw.raw);
  REQUIRE(request.path() == "/a%20b+c");
  REQUIRE(request.decoded_path() == "/a b+c");
  for (const char* bad : {"/%", "/%2", "/%xy", "/a%00b"}) {
    CAPTURE(bad);
    const Raw wrong(bad);
    REQUIRE_THROWS_AS(appserver::Request(wrong.raw).decoded_path(), appserver::BadRequest);
  }
}

TEST_CASE("headers are found whatever their case, and listed in order") {
  const Raw raw(
      "/", "", "",
      {{view("Host"), view("x")}, {view("X-One"), view("1")}, {view("x-one"), view("2")}});
  const appserver::Request request(raw.raw);
  REQUIRE(request.header("host") == std::string_view("x"));
  REQUIRE(request.header("X-ONE", "none") == "1");
  REQUIRE_FALSE(request.header("X-On").has_value());
  REQUIRE(request.header("X-Two", "none") == "none");
  std::string all;
  for (const auto [name, value] : request.headers())
    all += std::string(name) + "=" + std::string(value) + ";";
  REQUIRE(all == "Host=x;X-One=1;x-one=2;");
  REQUIRE(request.headers().size() == 3);
}

TEST_CASE("a newer host's longer headers are stepped over by their stride") {
  struct Longer {
    appserver_header known;
    std::uint64_t later;
  };
  const std::vector<Longer> longer{{{view("A"), view("1")}, 77}, {{view("B"), view("2")}, 77}};
  Raw raw("/");
  raw.raw.headers = &longer[0].known;
  raw.raw.header_count = 2;
  raw.raw.header_stride = sizeof(Longer);
  REQUIRE(appserver::Request(raw.raw).header("b", "none") == "2");
}

TEST_CASE("a request without anything reads as empty") {
  appserver_http_request raw{};
  raw.size = sizeof raw;
  const appserver::Request request(raw);
  REQUIRE(request.method().empty());
  REQUIRE(request.body().empty());
  REQUIRE(request.headers().begin() == request.headers().end());
  REQUIRE_FALSE(request.query("name").has_value());
  REQUIRE_FALSE(request.header("Host").has_value());
}

TEST_CASE("form fields are read from a form alone") {
  const Raw form(
      "/", "", "name=Ada+B&x=%zz",
      {{view("content-type"), view("Application/x-www-form-urlencoded; charset=utf-8")}});
  const appserver::Request request(form.raw);
  REQUIRE(request.form("name") == "Ada B");
  REQUIRE_FALSE(request.form("none").has_value());
  REQUIRE_THROWS_AS(request.form("x"), appserver::BadRequest);
  const Raw json("/", "", "name=Ada", {{view("Content-Type"), view("application/json")}});
  REQUIRE_FALSE(appserver::Request(json.raw).form("name").has_value());
}

TEST_CASE("a copy of a request keeps what is known of its TLS") {
  std::string cipher = "TLS_AES_256_GCM_SHA384";
  appserver_tls_info tls{};
  tls.size = sizeof tls;
  tls.version = view("TLSv1.3");
  tls.cipher = view(cipher);
  tls.server_name = view("example.org");
  Raw raw("/");
  raw.raw.tls = &tls;
  const appserver::Request copy = appserver::Request(raw.raw).copy();
  cipher.assign(cipher.size(), 'x');
  tls = {};
  const auto kept = copy.tls();
  REQUIRE(kept);
  CHECK(kept->version == "TLSv1.3");
  CHECK(kept->cipher == "TLS_AES_256_GCM_SHA384");
  CHECK(kept->server_name == "example.org");
  CHECK(kept->client_subject.empty());

  raw.raw.tls = nullptr;
  CHECK_FALSE(appserver::Request(raw.raw).copy().tls());
}
