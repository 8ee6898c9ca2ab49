#include <sqlite3.h>
#include <unistd.h>

#include <appserver/testing.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using appserver::testing::Fields;
using appserver::testing::Harness;
using appserver::testing::Options;
using appserver::testing::Reply;
using appserver::testing::StartFailed;

namespace {

// A folder of its own with the database in it.
struct Fixture {
  std::filesystem::path folder = make_folder();
  ~Fixture() { std::filesystem::remove_all(folder); }

  Options options(appserver::testing::SettingMap more = {}) const {
    more["database"] = (folder / "guestbook.db").string();
    return {.settings = std::move(more)};
  }
  void run(const char* sql) const {
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open((folder / "guestbook.db").c_str(), &raw) == SQLITE_OK);
    const int code = sqlite3_exec(raw, sql, nullptr, nullptr, nullptr);
    sqlite3_close(raw);
    REQUIRE(code == SQLITE_OK);
  }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "guestbook-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    return name;
  }
};

std::string get(Harness& harness, const std::string& target) {
  const Reply reply = harness.get(target);
  REQUIRE(reply.wait());
  REQUIRE(reply.status() == 200);
  return reply.body();
}

unsigned sign(Harness& harness, const std::string& body, Fields headers = {}) {
  headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  const Reply reply = harness.request(
      {.target = "/entries", .method = "POST", .headers = std::move(headers), .body = body});
  REQUIRE(reply.wait());
  return reply.status();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "who signs is in the book, newest first, and stays there") {
  {
    Harness harness(options());
    REQUIRE(sign(harness, "name=Ada&text=first") == 303);
    REQUIRE(sign(harness, "name=Bob&text=second") == 303);
    const std::string json = get(harness, "/entries");
    REQUIRE(json.find("\"name\":\"Bob\",\"text\":\"second\"") < json.find("\"name\":\"Ada\""));
    REQUIRE(harness.metric("guestbook_signed") == 2);
  }
  Harness harness(options());
  REQUIRE(count(get(harness, "/entries"), "\"id\"") == 2);
}

TEST_CASE_METHOD(Fixture, "markup is only text, and quotes end no statement") {
  Harness harness(options());
  REQUIRE(sign(harness, "name=%3Cb%3E%22'&text='); DROP TABLE entries; --<script>") == 303);
  const std::string page = get(harness, "/");
  REQUIRE(page.find("&lt;b&gt;&quot;&#39;") != std::string::npos);
  REQUIRE(page.find("<script") == std::string::npos);
  REQUIRE(count(get(harness, "/entries"), "DROP TABLE") == 1);
}

TEST_CASE_METHOD(Fixture, "a form that is sent twice is one entry") {
  Harness harness(options());
  const std::string page = get(harness, "/");
  const std::size_t at = page.find("name=\"form\" value=\"") + 19;
  const std::string form = page.substr(at, 32);
  for (int i = 0; i < 3; ++i) REQUIRE(sign(harness, "name=a&text=b&form=" + form) == 303);
  REQUIRE(count(get(harness, "/entries"), "\"id\"") == 1);
  REQUIRE(get(harness, "/").find(form) == std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a page of another site cannot sign") {
  Harness harness(options());
  const std::string body = "name=a&text=b";
  REQUIRE(sign(harness, body, {{"Host", "a"}, {"Origin", "http://evil.example"}}) == 403);
  REQUIRE(sign(harness, body, {{"Host", "a"}, {"Origin", "null"}}) == 403);
  REQUIRE(sign(harness, body, {{"Host", "a"}, {"Sec-Fetch-Site", "cross-site"}}) == 403);
  REQUIRE(sign(harness, body, {{"Host", "a"}, {"Origin", "http://a"}}) == 303);
  REQUIRE(count(get(harness, "/entries"), "\"id\"") == 1);
}

TEST_CASE_METHOD(Fixture, "what is no entry is refused") {
  Harness harness(options({{"max_name", "3"}, {"max_text", "5"}, {"max_entries", "1"}}));
  for (const char* body : {"", "name=a", "name=a&text=", "name=abcd&text=b", "name=a&text=123456",
                           "name=a&text=%ff", "name=%00&text=b", "name=%4&text=b"}) {
    CAPTURE(body);
    REQUIRE(sign(harness, body) == 400);
  }
  REQUIRE(sign(harness, "name=abc&text=12345") == 303);
  REQUIRE(sign(harness, "name=abc&text=12345") == 507);
}

TEST_CASE_METHOD(Fixture, "older entries are on the next page") {
  Harness harness(options({{"page", "2"}}));
  for (int i = 0; i < 5; ++i) REQUIRE(sign(harness, "name=a&text=t" + std::to_string(i)) == 303);
  REQUIRE(get(harness, "/").find("?before=4") != std::string::npos);
  const std::string next = get(harness, "/entries?before=4");
  REQUIRE(next.find("t2") != std::string::npos);
  REQUIRE(next.find("t1") != std::string::npos);
  REQUIRE(count(next, "\"id\"") == 2);
  REQUIRE(get(harness, "/?before=1").find("older") == std::string::npos);
  REQUIRE(harness.get("/?before=x").status() == 400);
}

TEST_CASE_METHOD(Fixture,
                 "a book of the first version is taken over, one of a newer is left alone") {
  run("CREATE TABLE entries (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, name TEXT NOT NULL, "
      "text TEXT NOT NULL) STRICT; PRAGMA user_version = 1; "
      "INSERT INTO entries (time, name, text) VALUES (1, 'old', 'entry')");
  REQUIRE_FALSE(appserver::testing::self_check(options()).has_value());
  {
    Harness harness(options());
    REQUIRE(get(harness, "/").find("old") != std::string::npos);
  }
  run("PRAGMA user_version = 99");
  REQUIRE(appserver::testing::self_check(options()).value_or("").find("a newer build") !=
          std::string::npos);
  REQUIRE_THROWS_AS(Harness(options()), StartFailed);
}

TEST_CASE_METHOD(Fixture, "a database that cannot be is said before anything serves") {
  REQUIRE_THROWS_WITH(Harness(), Catch::Contains("setting \"database\" is missing"));
  REQUIRE_THROWS_WITH(Harness({.settings = {{"database", (folder / "no/x.db").string()}}}),
                      Catch::Contains("unable to open database file"));
  REQUIRE_THROWS_AS(Harness(options({{"page", "0"}})), StartFailed);
}

TEST_CASE_METHOD(Fixture, "several workers write one book") {
  Harness one(options());
  Harness two(options());
  for (int i = 0; i < 10; ++i) {
    REQUIRE(sign(one, "name=one&text=x") == 303);
    REQUIRE(sign(two, "name=two&text=x") == 303);
  }
  REQUIRE(count(get(one, "/entries?before=1000"), "\"id\"") == 20);
}
