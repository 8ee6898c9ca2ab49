// The entries of a guestbook, in a SQLite file that any number of workers share.
#pragma once

#include <appserver/sqlite.hpp>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace guestbook {

namespace sqlite = appserver::sqlite;

struct Entry {
  std::int64_t id = 0;
  std::int64_t time = 0;  // seconds since 1970
  std::string name;
  std::string text;
};

enum class Added { added, again, full };

constexpr std::array kSteps = {
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, name TEXT NOT NULL, "
    "text TEXT NOT NULL) STRICT",
    // A form that is sent twice is one entry.
    "ALTER TABLE entries ADD COLUMN form TEXT; "
    "CREATE UNIQUE INDEX entries_form ON entries (form) WHERE form IS NOT NULL",
};

// All members may be called from any thread, several at a time: each uses a connection of its own.
class Store {
 public:
  explicit Store(std::string path) : path_(std::move(path)) {}

  void migrate() { sqlite::migrate(path_, kSteps); }
  void check() const { sqlite::check(path_, kSteps); }

  Added add(const Entry& entry, std::string_view form, std::int64_t most) {
    // One writer of a worker at a time asks the other workers to wait.
    const std::lock_guard writing(writing_);
    return with_connection([&](sqlite::Database& database) {
      sqlite::Transaction transaction(database);
      if (database.number("SELECT coalesce(max(id), 0) FROM entries") >= most) return Added::full;
      sqlite::Statement statement(
          database,
          "INSERT INTO entries (time, name, text, form) VALUES (?, ?, ?, nullif(?, '')) "
          "ON CONFLICT DO NOTHING");
      statement.bind(1, entry.time).bind(2, entry.name).bind(3, entry.text).bind(4, form).next();
      const bool written = database.changes() == 1;
      transaction.commit();
      return written ? Added::added : Added::again;
    });
  }

  // The newest first, from below this id on.
  std::vector<Entry> list(std::int64_t below, std::int64_t most) {
    return with_connection([&](sqlite::Database& database) {
      sqlite::Statement statement(database,
                                  "SELECT id, time, name, text FROM entries WHERE id < ? "
                                  "ORDER BY id DESC LIMIT ?");
      statement.bind(1, below).bind(2, most);
      std::vector<Entry> entries;
      while (statement.next()) {
        entries.push_back(
            {statement.number(0), statement.number(1), statement.text(2), statement.text(3)});
      }
      return entries;
    });
  }

 private:
  using Connection = std::unique_ptr<sqlite::Database>;

  template <class Use>
  std::invoke_result_t<Use&, sqlite::Database&> with_connection(Use&& use) {
    Connection connection = take();
    auto result = use(*connection);
    // After an exception it is not used again.
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
    return result;
  }

  Connection take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Connection connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
      }
    }
    auto connection = std::make_unique<sqlite::Database>(path_, false);
    // What was answered is on the disk.
    connection->run("PRAGMA synchronous = FULL");
    return connection;
  }

  std::string path_;
  std::mutex writing_;
  std::mutex mutex_;
  std::vector<Connection> idle_;  // as many as there are threads, at most
};

}  // namespace guestbook
