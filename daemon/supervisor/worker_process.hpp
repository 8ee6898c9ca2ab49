// One worker process as the supervisor sees it: its pidfd, channel, log and output.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "channel/boot.hpp"
#include "channel/message.hpp"
#include "os/closer.hpp"
#include "os/memfd.hpp"
#include "os/process.hpp"
#include "supervisor/exit_words.hpp"
#include "telemetry/line_splitter.hpp"
#include "telemetry/log.hpp"
#include "telemetry/worker_page.hpp"

namespace appserver::supervisor {

class WorkerProcess;

// What every spawn needs; outlives all processes.
struct SpawnContext {
  boost::asio::io_context& io;
  const os::BootState& boot_state;
  telemetry::Log& log;
  // A worker asks for a connection to the bus, beyond those that it was given.
  std::function<void(const std::shared_ptr<WorkerProcess>&, std::uint64_t given)> want_bus = {};
  // A link between two workers has ended, and one of them asks for another.
  std::function<void(const std::shared_ptr<WorkerProcess>&, std::uint64_t link)> want_link = {};
  // A worker that is to serve has started.
  std::function<void(const std::shared_ptr<WorkerProcess>&)> started = {};
  // What a gateway worker was asked for the control API.
  std::function<void(const WorkerProcess&, const channel::Message&)> gateway_answer = {};
  // Any that was started was reaped.
  std::function<void(const WorkerProcess&)> ended = {};
  // Of what came from workers, and of sockets in whose queue such may be.
  std::shared_ptr<os::Closer> closer = std::make_shared<os::Closer>();
};

// Everything that comes from the process is taken as hostile: bounded, checked, and on the first
// malformed message the process is killed. Callbacks run on the loop; none runs from within a call
// to this object.
class WorkerProcess final : public std::enable_shared_from_this<WorkerProcess> {
 public:
  static constexpr std::chrono::seconds kChannelPatience{10};
  static constexpr std::size_t kMaxQueued = 10'000;

  struct Hooks {
    std::function<void(channel::Message&)> message;  // ready, drained, state
    std::function<void(const WorkerEnd&)> gone;      // reaped; the last callback
  };

  // Starts the process. Throws where it cannot. `descriptors`, the boot message's from
  // channel::kFirstListener on, stay the caller's.
  static std::shared_ptr<WorkerProcess> start(const SpawnContext& context,
                                              const channel::Boot& boot,
                                              const std::vector<int>& descriptors, Hooks hooks);

  WorkerProcess(const SpawnContext& context, const channel::Boot& boot, Hooks hooks);
  // Kills a process that still runs: nothing would watch it any more.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return child_.pid; }
  const std::string& group() const { return group_; }
  std::uint32_t slot() const { return slot_; }
  const std::string& build() const { return build_; }
  // plain where it is not to serve.
  config::GroupKind kind() const { return kind_; }
  const std::string& of_gateway() const { return of_gateway_; }
  std::chrono::steady_clock::time_point started() const { return started_; }
  const telemetry::WorkerPage& page() const { return page_; }
  // Since its loop last ticked; since its start where it has not yet.
  std::chrono::milliseconds heartbeat_age() const;

  // It has closed its channel: it ends, or has, though that is not reported yet.
  bool has_left();

  // Waits in a bounded queue while the channel is full. A worker that reads nothing of it for
  // kChannelPatience is killed.
  void send(const channel::Message& message, const std::vector<int>& fds = {});
  void signal(int number);
  // No callback comes any more.
  void forget() { hooks_ = {}; }

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  static void assign(Descriptor& descriptor, os::Fd fd);
  void launch(const channel::Boot& boot, const std::vector<int>& listeners);
  void watch();
  void watch_exit();
  void watch_channel();
  void watch_log();
  void watch_output();
  bool read_channel();
  bool read_log();
  bool read_output();
  void take_message(channel::Message& message);
  void take_output(std::string_view line);
  void report_lost_lines();
  void write_log(telemetry::Level level, std::string_view text);
  void close_elsewhere(os::Fd fd);
  void close_elsewhere(std::vector<os::Fd>& fds);
  void close_elsewhere(Descriptor& descriptor);
  void forget_queued();
  void distrust(const std::string& why);
  bool send_now(const channel::Message& message, const std::vector<int>& fds);
  void wait_to_send();
  void send_queued();
  void give_up_sending(const std::string& why);
  void ended();

  const SpawnContext& context_;
  Hooks hooks_;
  std::string group_;
  std::string build_;
  std::uint32_t slot_;
  config::GroupKind kind_;
  std::string of_gateway_;
  std::string title_;
  os::Fd page_file_;
  os::SharedMapping page_memory_;
  telemetry::WorkerPage& page_;
  os::Child child_;
  Descriptor exit_;
  Descriptor channel_;
  Descriptor log_;
  Descriptor output_;
  struct Queued {
    channel::Message message;
    std::vector<os::Fd> fds;
  };
  std::deque<Queued> queued_;
  boost::asio::steady_timer patience_;
  telemetry::LineSplitter lines_;
  WorkerEnd end_;
  std::uint64_t lost_lines_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool reaped_ = false;
};

}  // namespace appserver::supervisor
