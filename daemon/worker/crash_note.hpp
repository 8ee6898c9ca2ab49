// What a worker that dies of a signal leaves in its page: where it was, and what was mapped there.
#pragma once

#include <filesystem>

#include "telemetry/worker_page.hpp"

namespace appserver::worker {

// From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and SIGSYS are noted in `note` before they
// end this process as they would have, with the same exit status and core dump. A child that it
// forks notes nothing. `note` must live as long as the process. Once a process, on the loop's
// thread: that one's stack may overflow, another's overflow ends the process without a note. Does
// nothing under a sanitizer that owns the signals and has its own report.
void note_crashes(telemetry::CrashNote& note);

// Writes what is mapped now: the program, `plugin` where it is loaded and, as far as there is room,
// the libraries. What is loaded later is added when the process dies, if that can still be done.
void record_modules(telemetry::CrashNote& note, const std::filesystem::path& plugin);

}  // namespace appserver::worker
