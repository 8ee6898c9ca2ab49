#include "supervisor/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "channel/process.hpp"
#include "os/error.hpp"
#include "os/message_socket.hpp"

namespace appserver::supervisor {
namespace {

using boost::system::error_code;
using channel::Kind;

// What one process may occupy of a turn of the supervisor's loop.
constexpr int kMessagesPerTurn = 64;
constexpr std::size_t kOutputPerTurn = std::size_t{64} << 10;
constexpr int kLastReads = 16;
// Of a line that is shown as a worker's last words.
constexpr std::size_t kMaxLastOutput = 300;
// Of those that a crash record keeps.
constexpr std::size_t kMaxLastLines = 20;
constexpr std::size_t kMaxLogMessage = 16 * 1024;

std::chrono::steady_clock::time_point now() { return std::chrono::steady_clock::now(); }

struct Pipe {
  os::Fd read_end;
  os::Fd write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  os::check(::pipe2(ends.data(), O_CLOEXEC), "pipe2()");
  Pipe pipe{os::Fd(ends[0]), os::Fd(ends[1])};
  os::set_nonblocking(pipe.read_end.get());
  return pipe;
}

std::string title_of(const channel::Boot& boot) {
  if (boot.purpose == channel::Purpose::bus) return "appserverd: bus";
  return fmt::format("appserverd: {} {}/{}",
                     boot.purpose == channel::Purpose::serve ? "worker" : "preflight",
                     boot.group.name, boot.slot);
}

}  // namespace

void WorkerProcess::assign(Descriptor& descriptor, os::Fd fd) {
  // Released only once it is taken: epoll may refuse it.
  descriptor.assign(fd.get());
  fd.release();
}

std::shared_ptr<WorkerProcess> WorkerProcess::start(const SpawnContext& context,
                                                    const channel::Boot& boot,
                                                    const std::vector<int>& listeners,
                                                    Hooks hooks) {
  auto process = std::make_shared<WorkerProcess>(context, boot, std::move(hooks));
  process->launch(boot, listeners);
  process->watch();
  return process;
}

WorkerProcess::WorkerProcess(const SpawnContext& context, const channel::Boot& boot, Hooks hooks)
    : context_(context),
      hooks_(std::move(hooks)),
      group_(boot.group.name),
      build_(boot.build),
      slot_(boot.slot),
      kind_(boot.purpose == channel::Purpose::serve ? boot.group.kind : config::GroupKind::plain),
      of_gateway_(boot.group.of_gateway),
      title_(title_of(boot)),
      page_file_(os::make_shared_memfd("appserver-worker-page", sizeof(telemetry::WorkerPage))),
      page_memory_(page_file_.get(), sizeof(telemetry::WorkerPage)),
      page_(telemetry::WorkerPage::create_in(page_memory_.bytes())),
      exit_(context.io.get_executor()),
      channel_(context.io.get_executor()),
      log_(context.io.get_executor()),
      output_(context.io.get_executor()),
      patience_(context.io) {}

WorkerProcess::~WorkerProcess() {
  forget_queued();
  close_elsewhere(channel_);
  close_elsewhere(log_);
  if (child_.pid == 0 || reaped_) return;
  os::send_signal(child_, SIGKILL);
  os::reap_killed(child_);
}

void WorkerProcess::launch(const channel::Boot& boot, const std::vector<int>& listeners) {
  auto [ours, theirs] = os::make_socket_pair(SOCK_SEQPACKET);
  auto [log_ours, log_theirs] = os::make_socket_pair(SOCK_SEQPACKET);
  Pipe output = make_pipe();
  const os::Fd null = os::open_file("/dev/null", O_RDONLY);
  const os::Fd record = os::make_sealed_memfd("appserver-boot", channel::encode(boot));
  std::vector<int> fds(channel::kFirstListener);
  fds[channel::kBootRecord] = record.get();
  fds[channel::kBootPage] = page_file_.get();
  fds[channel::kBootLog] = log_theirs.get();
  fds.insert(fds.end(), listeners.begin(), listeners.end());
  channel::Message message;
  message.kind = Kind::boot;
  if (channel::send(ours.get(), message, fds) != os::SendResult::sent) {
    throw std::runtime_error("the boot message does not fit into the channel");
  }
  std::vector<int> inherited(channel::kWorkerChannel + 1);
  inherited[STDIN_FILENO] = null.get();
  inherited[STDOUT_FILENO] = inherited[STDERR_FILENO] = output.write_end.get();
  inherited[channel::kWorkerChannel] = theirs.get();
  child_ = os::spawn_self(context_.boot_state, {title_, "--worker", std::to_string(::getpid())},
                          inherited);
  assign(exit_, child_.pidfd.duplicate());
  assign(channel_, std::move(ours));
  assign(log_, std::move(log_ours));
  assign(output_, std::move(output.read_end));
}

void WorkerProcess::watch() {
  watch_channel();
  watch_log();
  watch_output();
  watch_exit();
}

void WorkerProcess::watch_exit() {
  exit_.async_wait(exit_.wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error) self->ended();
  });
}

void WorkerProcess::watch_channel() {
  channel_.async_wait(channel_.wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && !self->reaped_ && self->read_channel()) self->watch_channel();
  });
}

void WorkerProcess::watch_log() {
  log_.async_wait(log_.wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && !self->reaped_ && self->read_log()) self->watch_log();
  });
}

void WorkerProcess::watch_output() {
  output_.async_wait(output_.wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && !self->reaped_ && self->read_output()) self->watch_output();
  });
}

bool WorkerProcess::read_channel() {
  for (int count = 0; count < kMessagesPerTurn; ++count) {
    channel::Message message;
    try {
      const os::ReceiveResult result = channel::receive(channel_.native_handle(), message);
      if (result == os::ReceiveResult::would_block) return true;
      if (result == os::ReceiveResult::closed) return false;
    } catch (const std::exception& error) {
      close_elsewhere(message.fds);
      distrust(error.what());
      return false;
    }
    const bool brings_file = message.kind == Kind::state || message.kind == Kind::gateway_answer;
    if (message.fds.size() > (brings_file ? 1U : 0U)) {
      close_elsewhere(message.fds);
      distrust("a descriptor on the channel");
      return false;
    }
    // Asked of the kernel alone: fstat(2) may wait for a file system in user space.
    if (!message.fds.empty() && ::fcntl(message.fds.front().get(), F_GET_SEALS) < 0) {
      close_elsewhere(message.fds);
      message.text = "what it sent is no memory file";
    }
    take_message(message);
    close_elsewhere(message.fds);
  }
  return true;
}

void WorkerProcess::take_message(channel::Message& message) {
  switch (message.kind) {
    case Kind::stopped:
      end_.said_stopped = true;
      break;
    case Kind::failed:
      end_.failure = message.text.empty() ? "failed without a reason" : message.text;
      break;
    case Kind::want_bus:
      if (context_.want_bus) context_.want_bus(shared_from_this(), message.number);
      break;
    case Kind::want_link:
      if (context_.want_link) context_.want_link(shared_from_this(), message.number);
      break;
    case Kind::ready:
      if (hooks_.message) hooks_.message(message);
      if (context_.started) context_.started(shared_from_this());
      break;
    case Kind::gateway_answer:
      if (context_.gateway_answer) context_.gateway_answer(*this, message);
      break;
    case Kind::drained:
    case Kind::state:
      if (hooks_.message) hooks_.message(message);
      break;
    default:
      distrust("a message that is not for a supervisor");
  }
}

bool WorkerProcess::read_log() {
  os::Packet packet;
  for (int count = 0; count < kMessagesPerTurn; ++count) {
    try {
      const os::ReceiveResult result =
          os::receive_packet(log_.native_handle(), kMaxLogMessage, packet);
      if (result == os::ReceiveResult::would_block) break;
      if (result == os::ReceiveResult::closed) return false;
    } catch (const std::exception& error) {
      close_elsewhere(packet.fds);
      distrust(error.what());
      return false;
    }
    if (!packet.fds.empty()) {
      close_elsewhere(packet.fds);
      distrust("a descriptor on the log socket");
      return false;
    }
    if (packet.data.empty()) continue;
    const int level = std::clamp(packet.data.front() - '0', 0, 3);
    write_log(static_cast<telemetry::Level>(level), std::string_view(packet.data).substr(1));
  }
  report_lost_lines();
  return true;
}

bool WorkerProcess::read_output() {
  std::array<char, kOutputPerTurn> buffer;
  const auto got = os::retry_on_interrupt(
      [&] { return ::read(output_.native_handle(), buffer.data(), buffer.size()); });
  if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
  if (got == 0) return false;
  lines_.feed({buffer.data(), static_cast<std::size_t>(got)},
              [this](std::string_view line) { take_output(line); });
  return true;
}

void WorkerProcess::take_output(std::string_view line) {
  if (!line.empty()) {
    end_.last_output = line.substr(0, kMaxLastOutput);
    if (end_.output.size() == kMaxLastLines) end_.output.erase(end_.output.begin());
    end_.output.push_back(end_.last_output);
  }
  write_log(telemetry::Level::info, line);
}

void WorkerProcess::report_lost_lines() {
  const std::uint64_t lost = page_.log_dropped.get();
  if (lost == lost_lines_) return;
  write_log(telemetry::Level::warning,
            fmt::format("{} log lines were lost: the worker writes faster than they can be read",
                        lost - lost_lines_));
  lost_lines_ = lost;
}

void WorkerProcess::write_log(telemetry::Level level, std::string_view text) {
  const telemetry::Origin origin{group_, static_cast<int>(slot_), child_.pid,
                                 std::string_view(build_).substr(0, 12)};
  context_.log.write(level, origin, text);
}

void WorkerProcess::close_elsewhere(os::Fd fd) {
  if (context_.closer->close(std::move(fd))) return;
  write_log(telemetry::Level::error,
            "a descriptor that came from it stays open: those before it cannot be closed, each "
            "close(2) waits; a restart of appserverd frees them");
}

void WorkerProcess::close_elsewhere(std::vector<os::Fd>& fds) {
  for (os::Fd& fd : fds) close_elsewhere(std::move(fd));
  fds.clear();
}

// What is in its queue and was not read goes with it.
void WorkerProcess::close_elsewhere(Descriptor& descriptor) {
  if (descriptor.is_open()) close_elsewhere(os::Fd(descriptor.release()));
}

void WorkerProcess::forget_queued() {
  for (Queued& each : queued_) close_elsewhere(each.fds);
  queued_.clear();
}

void WorkerProcess::distrust(const std::string& why) {
  write_log(telemetry::Level::error, "killed: it broke the channel's rules: " + why);
  signal(SIGKILL);
}

void WorkerProcess::send(const channel::Message& message, const std::vector<int>& fds) {
  if (reaped_) return;
  if (queued_.empty() && send_now(message, fds)) return;
  if (reaped_ || queued_.size() >= kMaxQueued) return give_up_sending("it has a queue of messages");
  Queued waiting;
  waiting.message.kind = message.kind;
  waiting.message.slot = message.slot;
  waiting.message.number = message.number;
  waiting.message.text = message.text;
  try {
    // The caller's may be closed, and their numbers others' by then.
    for (const int fd : fds)
      waiting.fds.emplace_back(os::check(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl(F_DUPFD)"));
  } catch (const std::exception& error) {
    return give_up_sending(error.what());
  }
  queued_.push_back(std::move(waiting));
  if (queued_.size() == 1) wait_to_send();
}

bool WorkerProcess::has_left() {
  if (reaped_) return true;
  pollfd channel{channel_.native_handle(), 0, 0};
  return ::poll(&channel, 1, 0) == 1 && (channel.revents & (POLLHUP | POLLERR)) != 0;
}

// False where the channel is full. One that is closed takes everything: the process is on its way
// out, and its end is reported by the pidfd.
bool WorkerProcess::send_now(const channel::Message& message, const std::vector<int>& fds) {
  try {
    return channel::send(channel_.native_handle(), message, fds) != os::SendResult::would_block;
  } catch (const std::exception& error) {
    write_log(telemetry::Level::error, error.what());
    return true;
  }
}

void WorkerProcess::wait_to_send() {
  patience_.expires_after(kChannelPatience);
  patience_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    // It may have been queued when the wait began anew.
    if (error || !self || self->queued_.empty() || self->patience_.expiry() > now()) return;
    self->give_up_sending("it has not read its channel for too long");
  });
  channel_.async_wait(channel_.wait_write, [self = shared_from_this()](const error_code& error) {
    if (!error && !self->reaped_) self->send_queued();
  });
}

void WorkerProcess::send_queued() {
  patience_.cancel();
  while (!queued_.empty()) {
    std::vector<int> fds;
    for (const os::Fd& fd : queued_.front().fds) fds.push_back(fd.get());
    if (!send_now(queued_.front().message, fds)) return wait_to_send();
    close_elsewhere(queued_.front().fds);
    queued_.pop_front();
  }
}

void WorkerProcess::give_up_sending(const std::string& why) {
  forget_queued();
  patience_.cancel();
  write_log(telemetry::Level::error, "killed: " + why);
  signal(SIGKILL);
}

std::chrono::milliseconds WorkerProcess::heartbeat_age() const {
  // steady_clock is CLOCK_MONOTONIC, which the worker writes.
  const std::chrono::nanoseconds beat(static_cast<std::int64_t>(page_.heartbeat_ns.get()));
  // A beat in the future is no worker's clock, which is ours.
  const bool true_beat = beat <= std::chrono::steady_clock::now().time_since_epoch();
  const auto last = std::max(
      started_.time_since_epoch(),
      std::chrono::steady_clock::duration(true_beat ? beat : std::chrono::nanoseconds::zero()));
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now().time_since_epoch() - last);
}

void WorkerProcess::signal(int number) {
  if (!reaped_) os::send_signal(child_, number);
}

void WorkerProcess::ended() {
  const auto status = os::try_reap(child_);
  if (!status) {
    watch_exit();
    return;
  }
  // What it said before its end comes first: why it failed, or that it stopped as it should.
  read_channel();
  for (int count = 0; count < kLastReads && read_log(); ++count) {
    int waiting = 0;
    if (::ioctl(log_.native_handle(), FIONREAD, &waiting) < 0 || waiting == 0) break;
  }
  // A grandchild that holds the pipe may write for ever: what the dead process left fits into a few
  // reads.
  for (int count = 0; count < kLastReads && read_output(); ++count) {
    int waiting = 0;
    if (::ioctl(output_.native_handle(), FIONREAD, &waiting) < 0 || waiting == 0) break;
  }
  lines_.finish([this](std::string_view line) { take_output(line); });
  reaped_ = true;
  end_.status = *status;
  end_.hook = page_.hook.load(std::memory_order_relaxed);
  error_code ignored;
  exit_.close(ignored);
  close_elsewhere(channel_);
  forget_queued();
  patience_.cancel();
  close_elsewhere(log_);
  output_.close(ignored);
  if (context_.ended) context_.ended(*this);
  // The hooks may hold the last reference to what owns us.
  const Hooks hooks = std::exchange(hooks_, {});
  if (hooks.gone) hooks.gone(end_);
}

}  // namespace appserver::supervisor
