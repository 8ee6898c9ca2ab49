#include "supervisor/preflight.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace appserver::supervisor {
namespace {

struct Preflight {
  explicit Preflight(boost::asio::io_context& context) : timer(context) {}
  Preflight(const Preflight&) = delete;
  Preflight& operator=(const Preflight&) = delete;
  ~Preflight() {
    // What watches the process keeps it alive; one that hangs must not outlive who asked.
    if (process) process->signal(SIGKILL);
  }

  void finish(const std::string& why_not) {
    timer.cancel();
    if (done) std::exchange(done, nullptr)(why_not);
  }

  boost::asio::steady_timer timer;
  std::shared_ptr<WorkerProcess> process;
  std::function<void(const std::string&)> done;
  bool loaded = false;
  bool late = false;
};

}  // namespace

std::shared_ptr<void> run_preflight(const SpawnContext& context, const GroupRelease& release,
                                    const TlsMaterialPtr& tls,
                                    std::function<void(const std::string&)> done) {
  auto preflight = std::make_shared<Preflight>(context.io);
  preflight->done = std::move(done);
  channel::Boot boot;
  boot.purpose = channel::Purpose::preflight;
  boot.plugin_file = release.build.file;
  boot.build = release.build.sha256;
  boot.group = release.config;
  boot.group.link = {};  // nobody is connected to
  const auto timeout = release.config.reload.start_timeout;
  // The hooks hold no owner: whoever drops the preflight ends it.
  const std::weak_ptr<Preflight> weak = preflight;
  WorkerProcess::Hooks hooks;
  hooks.message = [weak](const channel::Message& message) {
    if (const auto self = weak.lock())
      self->loaded = self->loaded || message.kind == channel::Kind::ready;
  };
  hooks.gone = [weak, timeout, build = release.build.sha256](const WorkerEnd& end) {
    const auto self = weak.lock();
    if (!self) return;
    if (self->loaded && end.said_stopped && !end.status.signalled) {
      self->finish({});
    } else if (self->late) {
      const bool checking = end.hook == telemetry::Hook::self_check;
      self->finish(fmt::format("{} took longer than start_timeout ({} ms)",
                               checking ? "self_check" : "loading the plugin", timeout.count()));
    } else {
      self->finish(describe_end(end, build));
    }
  };
  std::vector<int> descriptors;
  if (tls) descriptors.push_back(tls->file.get());
  preflight->process = WorkerProcess::start(context, boot, descriptors, std::move(hooks));
  preflight->timer.expires_after(timeout);
  preflight->timer.async_wait([weak](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self) return;
    self->late = true;
    self->process->signal(SIGKILL);
  });
  return preflight;
}

}  // namespace appserver::supervisor
