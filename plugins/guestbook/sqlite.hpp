// The little of SQLite that a plugin needs: a database, a prepared statement, errors as exceptions.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace sqlite {

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

}  // namespace sqlite
