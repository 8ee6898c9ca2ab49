#include "worker/worker_log.hpp"

#include <array>
#include <exception>

#include "os/message_socket.hpp"

namespace appserver::worker {

void WorkerLog::write(config::LogLevel level, std::string_view text) {
  if (level < level_) return;
  const char head = static_cast<char>('0' + static_cast<int>(level));
  const std::array<std::string_view, 2> parts{std::string_view(&head, 1), text.substr(0, kMaxText)};
  try {
    if (os::send_packet(socket_.get(), parts) == os::SendResult::sent) return;
  } catch (const std::exception&) {
    // There is no other place to say it; the count below is what remains.
  }
  page_.log_dropped.add_from_any_thread();
}

}  // namespace appserver::worker
