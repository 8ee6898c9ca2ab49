// SQLite for plugins, on files as several workers use them.
#include <unistd.h>

#include <appserver/sqlite.hpp>
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sqlite = appserver::sqlite;

namespace {

constexpr std::array kFirst = {"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"};
constexpr std::array kBoth = {kFirst[0], "ALTER TABLE notes ADD COLUMN author TEXT"};

struct Fixture {
  std::filesystem::path folder = make_folder();
  std::string path = (folder / "notes.db").string();
  ~Fixture() { std::filesystem::remove_all(folder); }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sqlite-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    return name;
  }
};

void add(sqlite::Database& database, std::string_view text) {
  sqlite::Statement(database, "INSERT INTO notes (text) VALUES (?)").bind(1, text).next();
}

std::int64_t count(sqlite::Database& database) {
  return database.number("SELECT count(*) FROM notes");
}

}  // namespace

TEST_CASE_METHOD(Fixture, "texts and numbers come back as they were bound") {
  sqlite::migrate(path, kFirst);
  sqlite::Database database(path, false);
  const std::string text(
      "gr\xC3\xBC\xC3\x9F"
      "e\0'; --",
      14);
  sqlite::Statement insert(database, "INSERT INTO notes (id, text) VALUES (?, ?)");
  insert.bind(1, std::int64_t{1} << 40).bind(2, text).next();
  CHECK(database.changes() == 1);
  sqlite::Statement select(database, "SELECT id, text FROM notes");
  REQUIRE(select.next());
  CHECK(select.number(0) == std::int64_t{1} << 40);
  CHECK(select.text(1) == text);
  CHECK_FALSE(select.next());
}

TEST_CASE_METHOD(Fixture, "a transaction that is not committed leaves nothing") {
  sqlite::migrate(path, kFirst);
  sqlite::Database database(path);
  {
    const sqlite::Transaction transaction(database);
    add(database, "lost");
  }
  CHECK(count(database) == 0);
  {
    sqlite::Transaction transaction(database);
    add(database, "kept");
    transaction.commit();
  }
  CHECK(count(database) == 1);
}

TEST_CASE_METHOD(Fixture, "errors name the file and say what is wrong") {
  CHECK_THROWS_WITH(sqlite::Database((folder / "no/x.db").string()),
                    Catch::Contains("no/x.db: unable to open database file"));
  sqlite::Database database(path);
  CHECK_THROWS_WITH(database.run("nonsense"), Catch::Contains("notes.db: near \"nonsense\""));
  CHECK_THROWS_AS(database.number("SELECT 1 WHERE 0"), sqlite::Error);
  try {
    sqlite::Database absent((folder / "absent.db").string(), false);
    FAIL("a file that is not there was opened");
  } catch (const sqlite::Error& error) {
    CHECK(error.is_missing());
    CHECK_FALSE(error.is_busy());
  }
}

TEST_CASE_METHOD(Fixture, "steps are done once, also by many who begin at the same moment") {
  std::vector<std::string> problems(8);
  std::vector<std::thread> workers;
  for (std::string& problem : problems) {
    workers.emplace_back([&] {
      try {
        sqlite::migrate(path, kBoth);
        sqlite::Database database(path, false);
        add(database, "here");
      } catch (const std::exception& error) {
        problem = error.what();
      }
    });
  }
  for (auto& worker : workers) worker.join();
  CHECK(problems == std::vector<std::string>(8));
  sqlite::Database database(path, false);
  CHECK(count(database) == 8);
  CHECK(database.number("PRAGMA user_version") == 2);
}

TEST_CASE_METHOD(Fixture, "a step that fails leaves the database as it was") {
  sqlite::migrate(path, kFirst);
  constexpr std::array kBroken = {kFirst[0], "CREATE TABLE more (id INTEGER); nonsense"};
  CHECK_THROWS_WITH(sqlite::migrate(path, kBroken), Catch::Contains("nonsense"));
  sqlite::Database database(path, false);
  CHECK(database.number("PRAGMA user_version") == 1);
  CHECK_THROWS_AS(database.run("SELECT * FROM more"), sqlite::Error);
}

TEST_CASE_METHOD(Fixture,
                 "a database of a newer build is left alone; one that is not there is good") {
  sqlite::check(path, kFirst);
  CHECK_FALSE(std::filesystem::exists(path));
  sqlite::migrate(path, kBoth);
  sqlite::check(path, kBoth);
  CHECK_THROWS_WITH(sqlite::check(path, kFirst), Catch::Contains("a newer build has been here"));
  CHECK_THROWS_WITH(sqlite::migrate(path, kFirst), Catch::Contains("a newer build has been here"));
}

TEST_CASE_METHOD(Fixture, "who writes waits for another writer, and readers for nobody") {
  sqlite::migrate(path, kFirst);
  sqlite::Database first(path, false);
  sqlite::Database second(path, false);
  sqlite::Transaction transaction(first);
  add(first, "one");
  CHECK(count(second) == 0);
  std::thread waits([&] { add(second, "two"); });
  transaction.commit();
  waits.join();
  CHECK(count(first) == 2);
}
