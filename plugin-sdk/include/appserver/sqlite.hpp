// The little of SQLite that a plugin needs: a database that several workers share, a prepared
// statement, errors as exceptions. Blocks: call it by Worker::offload. Link SQLite::SQLite3
// (CMake's find_package(SQLite3); Debian: libsqlite3-dev).
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace appserver::sqlite {

class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  // Another process or thread held the database for too long.
  bool is_busy() const noexcept { return (code_ & 0xff) == SQLITE_BUSY; }
  // The file is not there, or not to be opened.
  bool is_missing() const noexcept { return (code_ & 0xff) == SQLITE_CANTOPEN; }

 private:
  int code_;
};

// For one thread at a time.
class Database {
 public:
  // Creates the file unless told not to. Waits up to five seconds for another writer.
  explicit Database(const std::string& path, bool may_create = true) : path_(path) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                      (may_create ? SQLITE_OPEN_CREATE : 0);
    sqlite3* raw = nullptr;
    const int code = ::sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    handle_.reset(raw);
    check(code);
    ::sqlite3_busy_handler(raw, &wait, this);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Statements without parameters.
  void run(const char* sql) {
    check(::sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr));
  }
  std::int64_t number(const char* sql);
  // Rows that the last statement has written.
  int changes() const { return ::sqlite3_changes(handle_.get()); }

  void check(int code) const {
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
    const char* const why = handle_ ? ::sqlite3_errmsg(handle_.get()) : ::sqlite3_errstr(code);
    throw Error(code, path_ + ": " + why);
  }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* raw) const { ::sqlite3_close_v2(raw); }
  };
  // SQLite's own waiting (sqlite3_busy_timeout) sleeps up to 100 ms at a time, and never meets the
  // short gaps that a process leaves which writes without a pause.
  static int wait(void* self, int times) {
    constexpr std::chrono::seconds kPatience(5);
    constexpr std::chrono::microseconds kPause(500);
    auto& until = static_cast<Database*>(self)->until_;
    const auto now = std::chrono::steady_clock::now();
    if (times == 0) until = now + kPatience;
    if (now >= until) return 0;
    std::this_thread::sleep_for(kPause);
    return 1;
  }

  std::string path_;
  std::chrono::steady_clock::time_point until_{};
  std::unique_ptr<sqlite3, Close> handle_;
};

// Parameters and columns count from 1 and from 0, as SQLite has it. Texts that are bound live
// longer than the statement.
class Statement {
 public:
  Statement(Database& database, std::string_view sql) : database_(database) {
    sqlite3_stmt* raw = nullptr;
    database.check(::sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()),
                                        &raw, nullptr));
    raw_.reset(raw);
  }

  Statement& bind(int parameter, std::int64_t value) {
    database_.check(::sqlite3_bind_int64(raw_.get(), parameter, value));
    return *this;
  }
  Statement& bind(int parameter, std::string_view text) {
    database_.check(::sqlite3_bind_text64(raw_.get(), parameter, text.data(), text.size(), nullptr,
                                          SQLITE_UTF8));
    return *this;
  }

  // Whether there is a row.
  bool next() {
    const int code = ::sqlite3_step(raw_.get());
    database_.check(code);
    return code == SQLITE_ROW;
  }
  std::int64_t number(int column) const { return ::sqlite3_column_int64(raw_.get(), column); }
  std::string text(int column) const {
    const auto* const bytes = ::sqlite3_column_text(raw_.get(), column);
    const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(raw_.get(), column));
    return bytes == nullptr
               ? std::string()
               : std::string(static_cast<const char*>(static_cast<const void*>(bytes)), size);
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* raw) const { ::sqlite3_finalize(raw); }
  };
  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> raw_;
};

inline std::int64_t Database::number(const char* sql) {
  Statement statement(*this, sql);
  if (!statement.next()) throw Error(SQLITE_ERROR, path_ + ": no row from " + sql);
  return statement.number(0);
}

// Rolled back unless committed. Begins as a writer, so that it never has to give up half way.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) {
    database.run("BEGIN IMMEDIATE");
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (!done_) ::sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() {
    database_.run("COMMIT");
    done_ = true;
  }

 private:
  Database& database_;
  bool done_ = false;
};

namespace detail {

// SQLite does not wait here by itself, where two workers begin a database at once.
inline void use_wal(Database& database) {
  constexpr std::chrono::milliseconds kPause(10);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  for (;;) {
    try {
      return database.run("PRAGMA journal_mode = WAL");
    } catch (const Error& error) {
      if (!error.is_busy() || std::chrono::steady_clock::now() >= until) throw;
    }
    std::this_thread::sleep_for(kPause);
  }
}

inline std::size_t version(Database& database, std::size_t known) {
  const auto version = static_cast<std::size_t>(database.number("PRAGMA user_version"));
  if (version <= known) return version;
  throw std::runtime_error("the database has version " + std::to_string(version) +
                           ", this build knows " + std::to_string(known) +
                           " at most: a newer build has been here");
}

}  // namespace detail

// SQL statements, one step each from the version of its place to the next; `PRAGMA user_version`
// has the count of those that were done. Old workers serve on while a reload brings a new step, so
// a step only adds what they need not know.
using Steps = std::span<const char* const>;

// Creates the file, with a write-ahead log, and does the steps that it lacks, all or none: for
// on_worker_start. One that is up to date is only read: a worker that starts waits for no writer.
// Throws std::runtime_error where a newer build has done more steps than these.
inline void migrate(const std::string& path, Steps steps) {
  Database database(path);
  if (detail::version(database, steps.size()) == steps.size()) return;
  detail::use_wal(database);
  Transaction transaction(database);
  for (auto at = detail::version(database, steps.size()); at < steps.size(); ++at) {
    database.run(steps[at]);
    database.run(("PRAGMA user_version = " + std::to_string(at + 1)).c_str());
  }
  transaction.commit();
}

// Throws as migrate, and changes nothing: for self_check. A file that is not there yet is good.
inline void check(const std::string& path, Steps steps) {
  try {
    Database database(path, false);
    static_cast<void>(detail::version(database, steps.size()));
  } catch (const Error& error) {
    if (!error.is_missing()) throw;
  }
}

}  // namespace appserver::sqlite
