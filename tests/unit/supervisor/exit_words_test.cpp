#include "supervisor/exit_words.hpp"

#include <signal.h>

#include <catch2/catch.hpp>

using namespace appserver;
using supervisor::describe_end;
using supervisor::WorkerEnd;
using telemetry::Hook;

namespace {

const std::string kBuild = "7be2d4400112233445566778899aabbccddeeff00112233445566778899aabbcc";

WorkerEnd end_of(bool signalled, int code, Hook hook = Hook::none) {
  WorkerEnd end;
  end.status.signalled = signalled;
  end.status.code = code;
  end.hook = hook;
  return end;
}

}  // namespace

TEST_CASE("a crash is told with its signal, where in the plugin it was, and the build") {
  CHECK(describe_end(end_of(true, SIGSEGV, Hook::on_request), kBuild) ==
        "SIGSEGV in on_request, build 7be2d44");
  CHECK(describe_end(end_of(true, SIGABRT, Hook::timer), kBuild) ==
        "SIGABRT in a timer, build 7be2d44");
  CHECK(describe_end(end_of(true, SIGKILL), kBuild) == "SIGKILL, build 7be2d44");
  auto with_core = end_of(true, SIGSEGV, Hook::load);
  with_core.status.core = true;
  CHECK(describe_end(with_core, kBuild) ==
        "SIGSEGV in loading the plugin, build 7be2d44 (core dumped)");
}

TEST_CASE("an exit that no worker makes is told with its status, 0 included") {
  CHECK(describe_end(end_of(false, 0, Hook::on_worker_start), kBuild) ==
        "exited with status 0 in on_worker_start, build 7be2d44");
  CHECK(describe_end(end_of(false, 3), kBuild) == "exited with status 3, build 7be2d44");
}

TEST_CASE("exit() in a plugin is told apart from the same status of something else") {
  CHECK(describe_end(end_of(false, 70, Hook::on_request), kBuild) ==
        "called exit() in on_request, build 7be2d44");
  CHECK(describe_end(end_of(false, 70), kBuild) == "exited with status 70, build 7be2d44");
}

TEST_CASE("a worker's own reason comes first") {
  auto end = end_of(false, 1, Hook::on_worker_start);
  end.failure = "on_worker_start: prices.db: not found";
  CHECK(describe_end(end, kBuild) == "on_worker_start: prices.db: not found");
}

TEST_CASE("an orderly end is told as such, unless a signal came after it") {
  auto end = end_of(false, 0);
  end.said_stopped = true;
  CHECK(describe_end(end, kBuild) == "stopped");
  end.status.signalled = true;
  end.status.code = SIGSEGV;
  CHECK(describe_end(end, kBuild) == "SIGSEGV, build 7be2d44");
}

TEST_CASE("what a hostile worker left in its page, and an unknown signal, are still words") {
  CHECK(describe_end(end_of(true, SIGSEGV, static_cast<Hook>(4'711)), kBuild) ==
        "SIGSEGV in an unknown hook, build 7be2d44");
  CHECK(describe_end(end_of(true, 99), "") == "signal 99");
  CHECK(describe_end(end_of(false, 127), kBuild) == "could not be executed; see the log");
}
