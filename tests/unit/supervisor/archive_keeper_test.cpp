#include "supervisor/archive_keeper.hpp"

#include <catch2/catch.hpp>
#include <future>
#include <utility>

#include "record_files.hpp"

using namespace appserver;
using namespace appserver::supervisor;
using namespace appserver::supervisor::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

Release release(std::uint64_t number) {
  Release result;
  result.number = number;
  result.result = "committed";
  return result;
}

// A keeper with an archive of its own, whose file thread can be made to hang.
struct Fixture {
  ~Fixture() { go_on(); }
  // Turns the loop until `over`.
  template <typename Over>
  void turn_until(Over over) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!over() && std::chrono::steady_clock::now() < limit) {
      io.restart();
      io.run_one_for(100ms);
    }
    REQUIRE(over());
  }
  void hang() {
    keeper.run([gate = gate.get_future().share()](Archive&) { gate.wait(); }, "a hanging write");
  }
  void go_on() {
    if (!std::exchange(goes_on, true)) gate.set_value();
  }

  Folder folder;
  boost::asio::io_context io;
  telemetry::Log log{telemetry::Level::error, telemetry::Format::text};
  Archive archive{folder / "state"};
  std::promise<void> gate;
  bool goes_on = false;
  ArchiveKeeper keeper{io, files, archive, log};
  boost::asio::thread_pool files{1};
};

}  // namespace

TEST_CASE("what is done with the archive is in its view before anybody is told of it") {
  Fixture site;
  CHECK(site.keeper.view()->releases.empty());
  bool told = false;
  site.keeper.run(
      [](Archive& archive, const ArchiveKeeper::GivenUp& given_up) {
        if (!given_up) archive.releases.write(release(1));
      },
      10s,
      [&](const std::string& problem) {
        told = true;
        CHECK(problem.empty());
        CHECK(site.keeper.view()->releases.size() == 1);
      });
  site.turn_until([&] { return told; });
}

TEST_CASE("a problem with the archive is told in its own words") {
  Fixture site;
  std::string told;
  site.keeper.run(
      [](Archive& archive, const ArchiveKeeper::GivenUp&) { archive.releases.commit(7, ""); }, 10s,
      [&](const std::string& problem) { told = problem; });
  site.turn_until([&] { return !told.empty(); });
  CHECK_THAT(told, Contains("release 7 has no record"));
}

TEST_CASE("a file system that hangs holds nobody, and what was given up is told so") {
  Fixture site;
  site.hang();
  std::vector<std::string> problems;
  bool given_up_then = false;
  site.keeper.run(
      [&](Archive& archive, const ArchiveKeeper::GivenUp& given_up) {
        given_up_then = given_up;
        if (!given_up) archive.releases.write(release(1));
      },
      10ms, [&](const std::string& problem) { problems.push_back(problem); });
  site.turn_until([&] { return !problems.empty(); });
  CHECK_THAT(problems.front(), Contains("does a file system hang?"));

  bool repaired = false;
  site.keeper.run(
      [](Archive& archive, const ArchiveKeeper::GivenUp&) { archive.releases.write(release(2)); },
      10s, [&](const std::string& problem) { repaired = problem.empty(); });
  site.io.restart();
  site.io.run_for(20ms);
  CHECK_FALSE(repaired);
  site.go_on();
  site.turn_until([&] { return repaired; });
  CHECK(given_up_then);
  CHECK(problems.size() == 1);
  REQUIRE(site.keeper.view()->releases.size() == 1);
  CHECK(site.keeper.view()->releases.front().number == 2);
}
