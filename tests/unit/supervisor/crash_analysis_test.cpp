#include "supervisor/crash_analysis.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace appserver;
using namespace std::chrono_literals;
using control::CrashRecord;
using supervisor::CrashAnalysis;
using supervisor::CrashStack;
using telemetry::CrashNote;

namespace {

std::shared_ptr<CrashNote> make_note(int signal) {
  auto note = std::make_shared<CrashNote>();
  note->signal = signal;
  return note;
}

CrashRecord make_record(const std::string& reason) {
  CrashRecord record;
  record.reason = reason;
  record.signal = "SIGKILL";
  return record;
}

// Runs the loop until `count` of its handlers have run.
void run(boost::asio::io_context& io, std::size_t count) {
  io.restart();
  const auto guard = boost::asio::make_work_guard(io);
  for (std::size_t i = 0; i < count; ++i) REQUIRE(io.run_one_for(20s) == 1);
}

// Holds whoever looks at a crash until it is opened.
class Barrier {
 public:
  CrashStack pass() {
    reached_.set_value();
    opened_.get_future().wait();
    return {};
  }
  void wait_until_reached() { REQUIRE(reached_.get_future().wait_for(20s) == ready()); }
  void open() { opened_.set_value(); }

 private:
  static std::future_status ready() { return std::future_status::ready; }

  std::promise<void> reached_;
  std::promise<void> opened_;
};

}  // namespace

TEST_CASE("a crash is looked at beside the loop, and its record comes back on it") {
  boost::asio::io_context io;
  const auto loop = std::this_thread::get_id();
  std::thread::id analyst;
  CrashAnalysis analysis(io, [&](const CrashNote&) {
    analyst = std::this_thread::get_id();
    return CrashStack{"0x10", {"shop.so+0x12a0 shop::price(int)"}};
  });
  auto note = make_note(SIGSEGV);
  const std::weak_ptr<CrashNote> watched = note;
  std::optional<CrashRecord> record;
  analysis.add(make_record("SIGSEGV in on_request"), std::move(note), [&](CrashRecord done) {
    CHECK(std::this_thread::get_id() == loop);
    record = std::move(done);
  });
  CHECK_FALSE(record);
  run(io, 1);
  REQUIRE(record);
  CHECK(analyst != loop);
  CHECK(record->reason == "SIGSEGV in on_request");
  CHECK(record->signal == "SIGSEGV");
  CHECK(record->address == "0x10");
  CHECK(record->stack == std::vector<std::string>{"shop.so+0x12a0 shop::price(int)"});
  CHECK(watched.expired());
}

TEST_CASE("a crash that cannot be looked at is told all the same, without a stack") {
  boost::asio::io_context io;
  CrashAnalysis analysis(
      io, [](const CrashNote&) -> CrashStack { throw std::runtime_error("no memory"); });
  std::optional<CrashRecord> record;
  analysis.add(make_record("SIGKILL"), make_note(0),
               [&](CrashRecord done) { record = std::move(done); });
  run(io, 1);
  REQUIRE(record);
  CHECK(record->reason == "SIGKILL (no stack: no memory)");
  CHECK(record->signal == "SIGKILL");
  CHECK(record->stack.empty());
}

TEST_CASE("beyond a handful of crashes that wait a record goes without a stack, and says so") {
  boost::asio::io_context io;
  Barrier barrier;
  bool first = true;
  CrashAnalysis analysis(io, [&](const CrashNote&) {
    if (std::exchange(first, false)) barrier.pass();
    return CrashStack{{}, {"0x1"}};
  });
  std::vector<CrashRecord> records;
  const auto add = [&](int signal) {
    analysis.add(make_record("a crash"), make_note(signal),
                 [&](CrashRecord done) { records.push_back(std::move(done)); });
  };
  for (std::size_t i = 0; i < CrashAnalysis::kMost; ++i) add(SIGBUS);
  barrier.wait_until_reached();
  add(SIGABRT);
  run(io, 1);
  REQUIRE(records.size() == 1);
  CHECK(records[0].signal == "SIGABRT");
  CHECK(records[0].stack.empty());
  CHECK(records[0].reason == "a crash (no stack: 4 others wait for theirs)");
  barrier.open();
  run(io, CrashAnalysis::kMost);
  add(SIGABRT);
  run(io, 1);
  REQUIRE(records.size() == CrashAnalysis::kMost + 2);
  for (std::size_t i = 1; i < records.size(); ++i) CHECK(records[i].stack.size() == 1);
}

TEST_CASE("what the end finds of crashes is told all the same, and no other is looked at") {
  boost::asio::io_context io;
  Barrier barrier;
  int looked_at = 0;
  std::vector<CrashRecord> records;
  const auto tell = [&](CrashRecord record) { records.push_back(std::move(record)); };
  {
    CrashAnalysis analysis(io, [&](const CrashNote&) {
      if (++looked_at == 2) barrier.pass();
      return CrashStack{"0x10", {"shop.so+0x12a0"}};
    });
    // One that is looked at, but the loop does not get to it; one at work; two that wait; and one
    // too many.
    for (std::size_t i = 0; i <= CrashAnalysis::kMost; ++i)
      analysis.add(make_record("crash " + std::to_string(i)), make_note(SIGSEGV), tell);
    barrier.wait_until_reached();
    CHECK_FALSE(analysis.end(10ms));
    analysis.tell_rest();
    barrier.open();
    CHECK(analysis.end(20s));
  }
  CHECK(looked_at == 2);
  REQUIRE(records.size() == 5);
  CHECK(records[0].reason == "crash 0");
  CHECK(records[0].stack == std::vector<std::string>{"shop.so+0x12a0"});
  for (const std::size_t i : {1U, 2U, 3U}) {
    CHECK(records[i].reason == "crash " + std::to_string(i) + " (no stack: the daemon has ended)");
    CHECK(records[i].signal == "SIGSEGV");
    CHECK(records[i].stack.empty());
  }
  CHECK(records[4].reason == "crash 4 (no stack: 4 others wait for theirs)");
}

TEST_CASE("a note is let go beside the analysis, also when it was never looked at") {
  boost::asio::io_context io;
  Barrier barrier;
  std::vector<std::thread::id> let_go;
  const auto make_watched = [&] {
    return std::shared_ptr<CrashNote>(new CrashNote, [&](const CrashNote* note) {
      let_go.push_back(std::this_thread::get_id());
      delete note;
    });
  };
  {
    CrashAnalysis analysis(io, [&](const CrashNote&) { return barrier.pass(); });
    for (int i = 0; i < 3; ++i)
      analysis.add(make_record("a crash"), make_watched(), [](const CrashRecord&) {});
    barrier.wait_until_reached();
    CHECK_FALSE(analysis.end(10ms));
    CHECK(let_go.empty());
    barrier.open();
    CHECK(analysis.end(20s));
  }
  CHECK(let_go == std::vector<std::thread::id>(3, std::this_thread::get_id()));
}

TEST_CASE("where no crash is looked at the end is at once") {
  boost::asio::io_context io;
  CrashAnalysis analysis(io);
  CHECK(analysis.end(0ms));
}
