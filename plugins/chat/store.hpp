// What was said, in a SQLite file that the workers of a group share.
#pragma once

#include <algorithm>
#include <appserver/sqlite.hpp>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wire.hpp"

namespace chat {

namespace sqlite = appserver::sqlite;

constexpr std::array kSteps = {
    // AUTOINCREMENT: no seq is ever given again.
    "CREATE TABLE lines (seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, "
    "room TEXT NOT NULL, author TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, "
    "text TEXT NOT NULL, UNIQUE (author, id)) STRICT; "
    "CREATE INDEX lines_room ON lines (room, seq); "
    "CREATE INDEX lines_author ON lines (author, time); "
    "CREATE INDEX lines_time ON lines (time)",
};

// Lines beyond one of these are forgotten as others come.
struct Bounds {
  std::int64_t of_room = 1000;
  std::int64_t in_all = 100'000;
  std::int64_t age = 0;         // milliseconds
  std::int64_t per_minute = 0;  // of one author; 0: any number
};

enum class Kept { added, again, too_fast };

// For one thread at a time.
class Store {
 public:
  Store(std::string path, Bounds bounds) : path_(std::move(path)), bounds_(bounds) {}

  // See appserver::sqlite. From any thread.
  void migrate() const { sqlite::migrate(path_, kSteps); }
  void check() const { sqlite::check(path_, kSteps); }

  // On the disk when this returns, and `line` has its seq. An author's id is kept once: of another
  // time, `line` gets seq and time. A line with no room counts, and is in no history.
  Kept keep(Line& line) {
    return use([&](sqlite::Database& database) {
      const std::string author = folded(line.name);
      sqlite::Transaction transaction(database);
      sqlite::Statement before(database, "SELECT seq, time FROM lines WHERE author = ? AND id = ?");
      if (before.bind(1, author).bind(2, line.id).next()) {
        line.seq = before.number(0);
        line.time = before.number(1);
        return Kept::again;
      }
      if (is_too_fast(database, author, line.time)) return Kept::too_fast;
      sqlite::Statement insert(database,
                               "INSERT INTO lines (time, room, author, id, name, text) "
                               "VALUES (?, ?, ?, ?, ?, ?)");
      insert.bind(1, line.time).bind(2, line.room).bind(3, author).bind(4, line.id);
      insert.bind(5, line.name).bind(6, line.text).next();
      line.seq = database.number("SELECT last_insert_rowid()");
      forget(database, line);
      transaction.commit();
      return Kept::added;
    });
  }

  // The last of a room, the oldest first, of those that are not too old by now.
  std::vector<Line> last(std::string_view room, std::int64_t most, std::int64_t now) {
    return use([&](sqlite::Database& database) {
      sqlite::Statement statement(database,
                                  "SELECT seq, time, id, name, text FROM lines "
                                  "WHERE room = ? AND time > ? ORDER BY seq DESC LIMIT ?");
      statement.bind(1, room).bind(2, now - bounds_.age).bind(3, most);
      std::vector<Line> lines;
      while (statement.next()) {
        lines.push_back({statement.number(0), statement.number(1), std::string(room),
                         statement.text(2), statement.text(3), statement.text(4)});
      }
      std::ranges::reverse(lines);
      return lines;
    });
  }

 private:
  bool is_too_fast(sqlite::Database& database, std::string_view author, std::int64_t now) const {
    constexpr std::int64_t kMinute = 60'000;
    if (bounds_.per_minute == 0) return false;
    sqlite::Statement statement(database,
                                "SELECT count(*) FROM lines WHERE author = ? AND time > ?");
    return statement.bind(1, author).bind(2, now - kMinute).next() &&
           statement.number(0) >= bounds_.per_minute;
  }

  void forget(sqlite::Database& database, const Line& line) const {
    sqlite::Statement(database, "DELETE FROM lines WHERE time <= ?")
        .bind(1, line.time - bounds_.age)
        .next();
    sqlite::Statement(database, "DELETE FROM lines WHERE seq <= ?")
        .bind(1, line.seq - bounds_.in_all)
        .next();
    if (line.room.empty()) return;
    sqlite::Statement(database,
                      "DELETE FROM lines WHERE room = ?1 AND seq <= (SELECT seq FROM lines "
                      "WHERE room = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)")
        .bind(1, line.room)
        .bind(2, bounds_.of_room)
        .next();
  }

  // After an exception the connection is not used again.
  template <class Use>
  std::invoke_result_t<Use&, sqlite::Database&> use(Use&& use) {
    auto connection = std::exchange(connection_, nullptr);
    if (!connection) {
      connection = std::make_unique<sqlite::Database>(path_, false);
      // What was answered is on the disk.
      connection->run("PRAGMA synchronous = FULL");
    }
    auto result = use(*connection);
    connection_ = std::move(connection);
    return result;
  }

  std::string path_;
  Bounds bounds_;
  std::unique_ptr<sqlite::Database> connection_;
};

}  // namespace chat
