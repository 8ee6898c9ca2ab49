#include "supervisor/rollout_machine.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace appserver::supervisor;
using appserver::control::RolloutResult;

namespace {

using Lines = std::vector<std::string>;
using State = RolloutMachine::State;

const char* word(Change change) {
  switch (change) {
    case Change::keep:
      return "keep";
    case Change::add:
      return "add";
    case Change::roll:
      return "roll";
    case Change::resize:
      return "resize";
    case Change::remove:
      break;
  }
  return "remove";
}

const char* word(RolloutResult result) {
  switch (result) {
    case RolloutResult::done:
      return "done";
    case RolloutResult::refused:
      return "refused";
    case RolloutResult::rolled_back:
      return "rolled back";
    case RolloutResult::partial:
      return "partial";
    case RolloutResult::stopped:
      return "stopped";
    default:
      break;
  }
  return "?";
}

struct Printer {
  std::string operator()(const rollout_effect::Preflight& e) const {
    return "preflight " + e.group;
  }
  std::string operator()(const rollout_effect::Enter&) const { return "enter"; }
  std::string operator()(const rollout_effect::Roll& e) const {
    return fmt::format("{} {}", word(e.change), e.group);
  }
  std::string operator()(const rollout_effect::Revert& e) const {
    return fmt::format("revert {} {}", word(e.change), e.group);
  }
  std::string operator()(const rollout_effect::GiveUp& e) const {
    return fmt::format("give up {}: {}", e.group, e.why);
  }
  std::string operator()(const rollout_effect::End& e) const { return "end " + e.group; }
  std::string operator()(const rollout_effect::Commit&) const { return "commit"; }
  std::string operator()(const rollout_effect::Record& e) const { return "record: " + e.why; }
  std::string operator()(const rollout_effect::Finish& e) const {
    return e.why.empty() ? word(e.result) : fmt::format("{}: {}", word(e.result), e.why);
  }
};

Lines lines(const RolloutEffects& effects) {
  Lines result;
  for (const RolloutEffect& effect : effects) result.push_back(std::visit(Printer{}, effect));
  return result;
}

struct Driver {
  explicit Driver(std::vector<PlannedChange> plan, bool dry_run = false)
      : machine(std::move(plan), dry_run) {}

  Lines begin() { return lines(machine.begin()); }
  Lines passed() { return lines(machine.preflighted({})); }
  Lines failed(const std::string& why) { return lines(machine.preflighted(why)); }
  Lines entered(const std::string& why_not = {}) { return lines(machine.entered(why_not)); }
  Lines rolled(Outcome outcome, const std::string& why = {}) {
    return lines(machine.rolled(outcome, why));
  }
  Lines reverted(Outcome outcome, const std::string& why = {}) {
    return lines(machine.reverted(outcome, why));
  }
  Lines ended(const std::string& group) { return lines(machine.ended(group)); }
  Lines committed(const std::string& why_not = {}) { return lines(machine.committed(why_not)); }
  Lines recorded(const std::string& problem = {}) { return lines(machine.recorded(problem)); }
  Lines abort(const std::string& why) { return lines(machine.abort(why)); }
  Lines crash_looping(const std::string& group) { return lines(machine.crash_looping(group)); }
  Lines stop(const std::string& why) { return lines(machine.stop(why)); }

  RolloutMachine machine;
};

const Lines kNothing;
const std::vector<PlannedChange> kTwoRolls{{"a", Change::roll}, {"b", Change::roll}};

void pass_all(Driver& rollout, int preflights) {
  rollout.begin();
  for (int count = 0; count < preflights; ++count) rollout.passed();
  rollout.entered();
}

}  // namespace

TEST_CASE("every group passes its preflight and the history tells of it, then each is rolled") {
  Driver rollout(kTwoRolls);
  CHECK(rollout.begin() == Lines{"preflight a"});
  CHECK(rollout.machine.group() == "a");
  CHECK(rollout.passed() == Lines{"preflight b"});
  CHECK(rollout.machine.state() == State::preflight);
  CHECK(rollout.passed() == Lines{"enter"});
  CHECK(rollout.machine.state() == State::entering);
  CHECK(rollout.machine.group().empty());
  CHECK(rollout.entered() == Lines{"roll a"});
  CHECK(rollout.machine.group() == "a");
  CHECK(rollout.rolled(Outcome::done) == Lines{"roll b"});
  CHECK(rollout.rolled(Outcome::done) == Lines{"commit"});
  CHECK(rollout.machine.state() == State::committing);
  CHECK(rollout.committed() == Lines{"done"});
  CHECK(rollout.machine.state() == State::over);
  CHECK(rollout.machine.group().empty());
}

TEST_CASE("one group that fails its preflight refuses the whole rollout") {
  Driver rollout(kTwoRolls);
  rollout.begin();
  rollout.passed();
  CHECK(rollout.failed("undefined symbol: x") == Lines{"refused: b: undefined symbol: x"});
  CHECK(rollout.machine.state() == State::over);
}

TEST_CASE("a dry run ends after the preflight") {
  Driver rollout({{"a", Change::roll}, {"b", Change::remove}, {"c", Change::resize}}, true);
  CHECK(rollout.begin() == Lines{"preflight a"});
  CHECK(rollout.passed() == Lines{"done"});
}

TEST_CASE("where everything stays as it is nothing is committed") {
  Driver rollout({{"a", Change::keep}, {"b", Change::keep}});
  CHECK(rollout.begin() == Lines{"done"});
  Driver empty({});
  CHECK(empty.begin() == Lines{"done"});
}

TEST_CASE("groups are carried out in the plan's order, and those that go end after the commit") {
  Driver rollout({{"gone", Change::remove},
                  {"old", Change::roll},
                  {"same", Change::keep},
                  {"wide", Change::resize},
                  {"new", Change::add},
                  {"past", Change::remove}});
  INFO("what runs no new code needs no preflight");
  CHECK(rollout.begin() == Lines{"preflight old"});
  CHECK(rollout.passed() == Lines{"preflight new"});
  CHECK(rollout.passed() == Lines{"enter"});
  CHECK(rollout.entered() == Lines{"roll old"});
  CHECK(rollout.rolled(Outcome::done) == Lines{"resize wide"});
  CHECK(rollout.rolled(Outcome::done) == Lines{"add new"});
  CHECK(rollout.rolled(Outcome::done) == Lines{"commit"});
  CHECK(rollout.ended("gone") == kNothing);
  CHECK(rollout.committed() == Lines{"end gone", "end past"});
  CHECK(rollout.machine.state() == State::removing);
  CHECK(rollout.ended("old") == kNothing);
  CHECK(rollout.ended("past") == kNothing);
  CHECK(rollout.ended("past") == kNothing);
  CHECK(rollout.ended("gone") == Lines{"done"});
}

TEST_CASE("groups that only go are committed first, too") {
  Driver rollout({{"a", Change::remove}});
  CHECK(rollout.begin() == Lines{"enter"});
  CHECK(rollout.entered() == Lines{"commit"});
  SECTION("written") { CHECK(rollout.committed() == Lines{"end a"}); }
  SECTION("not written: nothing has changed") {
    CHECK(rollout.committed("disk full") == Lines{"record: disk full"});
    CHECK(rollout.recorded() == Lines{"rolled back: disk full"});
  }
}

TEST_CASE("a group that fails takes the groups before it back, the last one first") {
  Driver rollout({{"a", Change::roll},
                  {"b", Change::resize},
                  {"c", Change::add},
                  {"d", Change::roll},
                  {"e", Change::roll},
                  {"f", Change::remove}});
  pass_all(rollout, 4);
  rollout.rolled(Outcome::done);
  rollout.rolled(Outcome::done);
  rollout.rolled(Outcome::done);
  INFO("the group itself went back already");
  CHECK(rollout.rolled(Outcome::rolled_back, "slot 1: SIGSEGV") == Lines{"revert add c"});
  CHECK(rollout.machine.state() == State::reverting);
  CHECK(rollout.machine.group() == "c");
  CHECK(rollout.rolled(Outcome::done) == kNothing);
  CHECK(rollout.reverted(Outcome::done) == Lines{"revert resize b"});
  CHECK(rollout.reverted(Outcome::done) == Lines{"revert roll a"});
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: d: slot 1: SIGSEGV"});
  CHECK(rollout.machine.state() == State::recording);
  CHECK(rollout.recorded() == Lines{"rolled back: d: slot 1: SIGSEGV"});
}

TEST_CASE("an added group that fails is ended: without workers it is still there") {
  Driver rollout({{"a", Change::add}});
  pass_all(rollout, 1);
  CHECK(rollout.rolled(Outcome::rolled_back, "slot 0: exit 1") == Lines{"revert add a"});
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: a: slot 0: exit 1"});
}

TEST_CASE("what cannot be brought back makes the result partial, and the others go back still") {
  Driver rollout({{"a", Change::roll}, {"b", Change::roll}, {"c", Change::roll}});
  pass_all(rollout, 3);
  rollout.rolled(Outcome::done);
  rollout.rolled(Outcome::done);
  std::string why;
  SECTION("in the group that failed") {
    CHECK(rollout.rolled(Outcome::partial, "slot 0: exit 1") == Lines{"revert roll b"});
    CHECK(rollout.reverted(Outcome::done) == Lines{"revert roll a"});
  }
  SECTION("in a group before it, which stays on the new release") {
    rollout.rolled(Outcome::rolled_back, "slot 0: exit 1");
    CHECK(rollout.reverted(Outcome::rolled_back, "slot 2: exit 9") == Lines{"revert roll a"});
  }
  SECTION("in some slots of a group before it") {
    rollout.rolled(Outcome::rolled_back, "slot 0: exit 1");
    CHECK(rollout.reverted(Outcome::partial, "slot 2: exit 9") == Lines{"revert roll a"});
  }
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: c: slot 0: exit 1"});
  CHECK(rollout.recorded() ==
        Lines{"partial: c: slot 0: exit 1; not every worker could be brought back to the old "
              "build: see appserverctl status"});
}

TEST_CASE("a release that cannot be written goes back, and what was to end stays") {
  Driver rollout({{"a", Change::roll}, {"b", Change::remove}});
  pass_all(rollout, 1);
  rollout.rolled(Outcome::done);
  CHECK(rollout.committed("disk full") == Lines{"revert roll a"});
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: disk full"});
  CHECK(rollout.recorded() == Lines{"rolled back: disk full"});
}

TEST_CASE("a rollout that the history cannot tell of is refused, and nothing is touched") {
  Driver rollout(kTwoRolls);
  rollout.begin();
  rollout.passed();
  rollout.passed();
  SECTION("the file system hangs, and comes back too late") {
    CHECK(rollout.entered("that takes longer than 120 s") ==
          Lines{"refused: that takes longer than 120 s"});
    CHECK(rollout.entered() == kNothing);
  }
  SECTION("it is aborted meanwhile") {
    CHECK(rollout.abort("aborted by ann") == Lines{"refused: aborted by ann"});
    CHECK(rollout.entered() == kNothing);
  }
  CHECK(rollout.machine.state() == State::over);
}

TEST_CASE("a commit that was given up and comes through late changes nothing any more") {
  Driver rollout({{"a", Change::roll}});
  pass_all(rollout, 1);
  rollout.rolled(Outcome::done);
  CHECK(rollout.committed("that takes longer than 120 s") == Lines{"revert roll a"});
  CHECK(rollout.committed() == kNothing);
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: that takes longer than 120 s"});
  CHECK(rollout.committed() == kNothing);
}

TEST_CASE("a failure that cannot be recorded ends all the same, and says so") {
  Driver rollout({{"a", Change::roll}});
  pass_all(rollout, 1);
  rollout.rolled(Outcome::rolled_back, "slot 0: exit 1");
  CHECK(rollout.recorded("disk full") == Lines{"rolled back: a: slot 0: exit 1; disk full"});
  CHECK(rollout.recorded() == kNothing);
}

TEST_CASE("a rollout that cut connections is never called done") {
  Driver rollout({{"a", Change::roll}});
  pass_all(rollout, 1);
  SECTION("one") {
    rollout.machine.add_cut(1);
    rollout.rolled(Outcome::done);
    CHECK(rollout.committed() ==
          Lines{"partial: 1 connection was cut while draining; see drain_timeout"});
  }
  SECTION("some, also by a group that ended") {
    rollout.machine.add_cut(2);
    rollout.machine.add_cut(3);
    CHECK(rollout.machine.cut() == 5);
    rollout.rolled(Outcome::done);
    CHECK(rollout.committed() ==
          Lines{"partial: 5 connections were cut while draining; see drain_timeout"});
  }
  SECTION("by a worker that died, which is named") {
    rollout.machine.add_cut(2, "a/0 (pid 7): SIGSEGV");
    rollout.rolled(Outcome::done);
    CHECK(rollout.committed() == Lines{"partial: 2 connections were cut: a/0 (pid 7): SIGSEGV"});
  }
  SECTION("by one that died and by a deadline") {
    rollout.machine.add_cut(1);
    rollout.machine.add_cut(2, "a/0 (pid 7): SIGSEGV");
    rollout.machine.add_cut(0, "a/1 (pid 8): SIGSEGV");
    rollout.rolled(Outcome::done);
    CHECK(rollout.committed() ==
          Lines{"partial: 1 connection was cut while draining; see drain_timeout; 2 connections "
                "were cut: a/0 (pid 7): SIGSEGV"});
  }
  SECTION("on the way back they are told") {
    rollout.machine.add_cut(2);
    CHECK(rollout.rolled(Outcome::rolled_back, "slot 0: exit 1") ==
          Lines{"record: a: slot 0: exit 1"});
    CHECK(rollout.recorded() == Lines{"rolled back: a: slot 0: exit 1; 2 connections were cut "
                                      "while draining; see drain_timeout"});
  }
}

TEST_CASE("an abort before the first group rolls is a refusal, later the group must give up") {
  Driver rollout(kTwoRolls);
  rollout.begin();
  SECTION("preflight") {
    CHECK(rollout.abort("aborted by ann") == Lines{"refused: aborted by ann"});
    CHECK(rollout.passed() == kNothing);
    CHECK(rollout.abort("again") == kNothing);
  }
  SECTION("rolling") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
    CHECK(rollout.abort("aborted by ann") == kNothing);
    CHECK(rollout.machine.state() == State::rolling);
    CHECK(rollout.rolled(Outcome::rolled_back, "aborted by ann") ==
          Lines{"record: a: aborted by ann"});
  }
}

TEST_CASE("a stop ends a rollout at every point, once, and nothing follows") {
  Driver rollout({{"a", Change::roll}, {"b", Change::roll}, {"c", Change::remove}});
  rollout.begin();
  SECTION("preflight") {}
  SECTION("entering") {
    rollout.passed();
    rollout.passed();
    CHECK(rollout.machine.state() == State::entering);
  }
  SECTION("rolling") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
  }
  SECTION("committing") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
    rollout.rolled(Outcome::done);
    rollout.rolled(Outcome::done);
  }
  SECTION("removing") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
    rollout.rolled(Outcome::done);
    rollout.rolled(Outcome::done);
    rollout.committed();
  }
  SECTION("reverting") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
    rollout.rolled(Outcome::done);
    rollout.rolled(Outcome::rolled_back, "x");
  }
  SECTION("recording") {
    rollout.passed();
    rollout.passed();
    rollout.entered();
    rollout.rolled(Outcome::rolled_back, "x");
  }
  CHECK(rollout.stop("the daemon is stopping") == Lines{"stopped: the daemon is stopping"});
  CHECK(rollout.stop("again") == kNothing);
  CHECK(rollout.passed() == kNothing);
  CHECK(rollout.entered() == kNothing);
  CHECK(rollout.rolled(Outcome::stopped) == kNothing);
  CHECK(rollout.reverted(Outcome::stopped) == kNothing);
  CHECK(rollout.committed() == kNothing);
  CHECK(rollout.ended("c") == kNothing);
  CHECK(rollout.recorded() == kNothing);
}

TEST_CASE("a group that was stopped ends the rollout as stopped") {
  Driver rollout(kTwoRolls);
  pass_all(rollout, 2);
  SECTION("forward") {
    CHECK(rollout.rolled(Outcome::stopped, "the daemon is stopping") ==
          Lines{"stopped: the daemon is stopping"});
  }
  SECTION("on the way back") {
    rollout.rolled(Outcome::done);
    rollout.rolled(Outcome::rolled_back, "x");
    CHECK(rollout.reverted(Outcome::stopped, "the daemon is stopping") ==
          Lines{"stopped: the daemon is stopping"});
  }
}

TEST_CASE("a group that crash-loops after its turn takes the rollout back that still runs") {
  Driver rollout({{"a", Change::roll}, {"b", Change::roll}, {"c", Change::roll}});
  pass_all(rollout, 3);
  rollout.rolled(Outcome::done);
  CHECK(rollout.crash_looping("a") == Lines{"give up b: a: it crash-loops since it was rolled"});
  CHECK(rollout.machine.gives_up());
  CHECK(rollout.machine.state() == State::rolling);
  CHECK(rollout.crash_looping("a") == kNothing);
  SECTION("the group that rolls goes back") {
    CHECK(rollout.rolled(Outcome::rolled_back, "told to") == Lines{"revert roll a"});
  }
  SECTION("the group that rolls was past that point") {
    CHECK(rollout.rolled(Outcome::done) == Lines{"revert roll b"});
    CHECK(rollout.reverted(Outcome::done) == Lines{"revert roll a"});
  }
  CHECK(rollout.crash_looping("b") == kNothing);
  CHECK(rollout.reverted(Outcome::done) == Lines{"record: a: it crash-loops since it was rolled"});
  CHECK(rollout.recorded() == Lines{"rolled back: a: it crash-loops since it was rolled"});
}

TEST_CASE("an added group goes when one before it crash-loops, rolled back or not") {
  Driver rollout({{"a", Change::roll}, {"b", Change::add}});
  pass_all(rollout, 2);
  rollout.rolled(Outcome::done);
  rollout.crash_looping("a");
  const auto outcome = GENERATE(Outcome::rolled_back, Outcome::done);
  CHECK(rollout.rolled(outcome) == Lines{"revert add b"});
  CHECK(rollout.reverted(Outcome::done) == Lines{"revert roll a"});
}

TEST_CASE("a group that the rollout gave no new code says nothing against it") {
  Driver rollout({{"old", Change::keep},
                  {"wide", Change::resize},
                  {"a", Change::roll},
                  {"b", Change::roll},
                  {"gone", Change::remove}});
  pass_all(rollout, 2);
  rollout.rolled(Outcome::done);
  for (const char* name : {"old", "wide", "a", "b", "gone", "other"}) {
    CHECK(rollout.crash_looping(name) == kNothing);
    CHECK_FALSE(rollout.machine.has_new_code_in(name));
  }
  CHECK(rollout.rolled(Outcome::done) == Lines{"roll b"});
}

TEST_CASE("a crash-loop while the release is committed, or after it, stops nothing") {
  Driver rollout({{"a", Change::roll}, {"b", Change::remove}});
  pass_all(rollout, 1);
  rollout.rolled(Outcome::done);
  CHECK(rollout.crash_looping("a") == kNothing);
  CHECK(rollout.machine.has_new_code_in("a"));
  CHECK(rollout.committed() == Lines{"end b"});
  CHECK(rollout.crash_looping("a") == kNothing);
  CHECK(rollout.ended("b") == Lines{"done"});
  CHECK(rollout.crash_looping("a") == kNothing);
}

TEST_CASE("a stop ends a rollout that gives up, too") {
  Driver rollout(kTwoRolls);
  pass_all(rollout, 2);
  rollout.rolled(Outcome::done);
  rollout.crash_looping("a");
  CHECK(rollout.rolled(Outcome::stopped, "stopping") == Lines{"stopped: stopping"});
}
