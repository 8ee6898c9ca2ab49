// The plugin of the integration tests, built twice: as "v1" and as "v2", so that an answer tells
// which code gave it. Each answer carries the worker's pid in X-Pid.
// clang-format off
//   /                       "v1\n"; to a body "LENGTH v1\n"
//   /slow?ms=N              the same after N ms, the loop free meanwhile
//   /gate?file=F            the same once the file F exists; F.reached is written when the request is there
//   /stream?pieces=N        N lines, each a piece of a streamed body, 5 ms apart
//   /echo?text=T            "T\n"
//   /setting?name=K         the group's setting
//   /environment?name=K     of the process
//   /directory              of the process
//   /reloads                how many reloads this worker was kept through
//   /remote                 the client's end of the connection
//   /fails_in_v2            500 in v2
//   /slow_in_v2?ms=N        as /slow in v2, at once in v1
//   /throw                  an exception
//   /crash                  SIGSEGV
//   /crash_in_v2            the same in v2
//   /exit                   the process exits with status 0
// Settings: crash_at_start_if: FILE, crash_in_v2_at_start_if: FILE, crash_in_v2_after_ms: N.
// clang-format on
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kVersion = PROBE_VERSION;
constexpr milliseconds kLook{5};

// By the kernel's hand, so that a sanitizer's own handler does not turn it into an exit.
void crash() {
  ::signal(SIGSEGV, SIG_DFL);
  ::kill(::getpid(), SIGSEGV);
}

void touch(const std::string& file) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0 || ::write(fd, "x", 1) != 1) throw std::runtime_error("cannot write " + file);
  ::close(fd);
}

struct Gate {
  std::string file;
  appserver::Deferred answer;
};

struct Lines {
  appserver::Stream stream;
  unsigned left;
};

class Probe final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override {
    const std::string flag = worker.settings().get("crash_at_start_if", "");
    if (!flag.empty() && std::filesystem::exists(flag)) crash();
    const std::string bad = worker.settings().get("crash_in_v2_at_start_if", "");
    if (kVersion == "v2" && !bad.empty() && std::filesystem::exists(bad)) crash();
    const auto delay = worker.settings().get("crash_in_v2_after_ms", 0);
    if (delay > 0 && kVersion == "v2") worker.after(milliseconds(delay), [] { crash(); }).detach();
  }

  void on_worker_reload(appserver::Worker&) override { ++reloads_; }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    response.header("X-Pid", std::to_string(::getpid()));
    const auto path = request.path();
    if (path == "/slow_in_v2" && kVersion == "v2") return answer_later(request, response);
    if (path == "/slow") return answer_later(request, response);
    if (path == "/gate") return answer_at_gate(request, response);
    if (path == "/stream") return answer_in_pieces(request, response);
    if (path == "/throw") throw std::runtime_error("the probe throws, as it was asked to");
    if (path == "/crash" || (path == "/crash_in_v2" && kVersion == "v2")) return crash();
    if (path == "/exit") ::_exit(0);
    if (path == "/fails_in_v2" && kVersion == "v2") response.status(500);
    response.text(text_for(request));
  }

 private:
  std::string text_for(const appserver::Request& request) const {
    const auto path = request.path();
    if (path == "/echo") return request.query("text", "") + "\n";
    if (path == "/remote") return std::string(request.remote()) + "\n";
    if (path == "/reloads") return std::to_string(reloads_) + "\n";
    if (path == "/directory") return std::filesystem::current_path().string() + "\n";
    if (path == "/setting") {
      return worker().settings().get(request.query("name", ""), "(none)") + "\n";
    }
    if (path == "/tls") {
      const auto tls = request.tls();
      return tls ? tls->version + " " + tls->alpn + " " + tls->server_name + " " +
                       tls->client_subject + "\n"
                 : std::string("none\n");
    }
    if (path == "/environment") {
      const char* value = std::getenv(request.query("name", "").c_str());
      return std::string(value != nullptr ? value : "(none)") + "\n";
    }
    return versioned(request);
  }

  static std::string versioned(const appserver::Request& request) {
    std::string text = request.body().empty() ? "" : std::to_string(request.body().size()) + " ";
    return text.append(kVersion).append("\n");
  }

  void answer_later(const appserver::Request& request, appserver::Response& response) {
    response.text(versioned(request));
    worker()
        .after(milliseconds(request.query("ms", 0)),
               [answer = response.defer()]() mutable { answer.send(); })
        .detach();
  }

  void answer_at_gate(const appserver::Request& request, appserver::Response& response) {
    const std::string file = request.query("file", "");
    response.text(versioned(request));
    gates_.push_back({file, response.defer()});
    if (!gatekeeper_.active()) gatekeeper_ = worker().every(kLook, [this] { look_at_gates(); });
    // The file of a gate that nobody is to open may not be writable.
    if (std::filesystem::exists(file + ".reached")) touch(file + ".reached");
  }

  void look_at_gates() {
    std::erase_if(gates_, [](Gate& gate) {
      if (!std::filesystem::exists(gate.file)) return false;
      gate.answer.send();
      return true;
    });
  }

  void answer_in_pieces(const appserver::Request& request, appserver::Response& response) {
    auto lines =
        std::make_shared<Lines>(Lines{response.stream("text/plain"), request.query("pieces", 3u)});
    write_line(worker(), lines);
  }

  static void write_line(appserver::Worker& worker, const std::shared_ptr<Lines>& lines) {
    if (lines->left == 0) {
      lines->stream.finish();
      return;
    }
    --lines->left;
    if (lines->stream.write(std::string(kVersion) + "\n") == appserver::Write::kGone) return;
    worker.after(kLook, [&worker, lines] { write_line(worker, lines); }).detach();
  }

  int reloads_ = 0;
  std::vector<Gate> gates_;
  appserver::Timer gatekeeper_;
};

}  // namespace

APPSERVER_PLUGIN(Probe, "probe", PROBE_VERSION)
