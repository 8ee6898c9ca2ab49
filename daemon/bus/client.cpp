#include "bus/client.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <utility>

#include "os/message_socket.hpp"

namespace appserver::bus {
namespace {

using boost::system::error_code;

// What one worker may have done in a turn of the loop.
constexpr int kMessagesPerTurn = 64;

}  // namespace

Client::Client(boost::asio::io_context& context, os::Fd socket, std::uint64_t worker, Hooks hooks)
    : socket_(context.get_executor(), socket.get()), worker_(worker), hooks_(std::move(hooks)) {
  socket.release();
}

bool Client::subscribe(std::string_view topic) {
  if (lost_.contains(topic)) return true;
  if (lost_.size() >= kMaxTopics) return false;
  lost_.emplace(topic, 0);
  return true;
}

void Client::unsubscribe(std::string_view topic) {
  const auto found = lost_.find(topic);
  if (found != lost_.end()) lost_.erase(found);
}

void Client::wait_to_read() {
  socket_.async_wait(Descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && self->socket_.is_open()) self->read();
  });
}

void Client::read() {
  os::Packet packet;
  for (int count = 0; count < kMessagesPerTurn; ++count) {
    try {
      const auto result = os::receive_packet(socket_.native_handle(), kMaxPacket, packet);
      if (result == os::ReceiveResult::would_block) break;
      if (result == os::ReceiveResult::closed) return close();
    } catch (const std::exception&) {
      return close();
    }
    const auto message = decode_request(packet.data);
    if (!message || !packet.fds.empty()) return close();
    hooks_.message(*this, *message);
    if (!socket_.is_open()) return;
  }
  wait_to_read();
}

void Client::deliver(std::shared_ptr<const std::string> packet, std::string_view topic) {
  push({std::move(packet), std::string(topic)});
}

void Client::answer(Header header, std::string_view value) {
  header.kind = Kind::result;
  push({std::make_shared<const std::string>(encode(header, {}, value)), {}});
}

void Client::push(Waiting waiting) {
  if (!socket_.is_open()) return;
  if (waiting_.empty() && send(waiting)) return;
  if (!socket_.is_open()) return;
  waiting_bytes_ += waiting.packet->size();
  waiting_.push_back(std::move(waiting));
  while (waiting_bytes_ > kMaxWaiting) {
    if (!drop_oldest()) return close();
  }
  wait_to_write();
}

bool Client::drop_oldest() {
  const auto oldest =
      std::ranges::find_if(waiting_, [](const Waiting& each) { return !each.topic.empty(); });
  if (oldest == waiting_.end()) return false;
  const auto lost = lost_.find(oldest->topic);
  if (lost != lost_.end()) ++lost->second;
  waiting_bytes_ -= oldest->packet->size();
  waiting_.erase(oldest);
  return true;
}

// False where the socket is full.
bool Client::send(const Waiting& waiting) {
  const std::string_view packet = *waiting.packet;
  Header header{};
  std::memcpy(&header, packet.data(), sizeof(header));
  const auto lost = waiting.topic.empty() ? lost_.end() : lost_.find(waiting.topic);
  if (lost != lost_.end()) header.number = lost->second;
  std::array<char, sizeof(Header)> bytes{};
  std::memcpy(bytes.data(), &header, sizeof(header));
  const std::array<std::string_view, 2> parts{std::string_view(bytes.data(), bytes.size()),
                                              packet.substr(sizeof(Header))};
  auto result = os::SendResult::closed;
  try {
    result = os::send_packet(socket_.native_handle(), parts);
  } catch (const std::exception&) {
    result = os::SendResult::closed;
  }
  if (result == os::SendResult::closed) close();
  if (result != os::SendResult::sent) return false;
  if (lost != lost_.end()) lost->second = 0;
  return true;
}

void Client::wait_to_write() {
  if (std::exchange(writing_, true)) return;
  socket_.async_wait(Descriptor::wait_write, [self = shared_from_this()](const error_code& error) {
    self->writing_ = false;
    if (!error && self->socket_.is_open()) self->send_waiting();
  });
}

void Client::send_waiting() {
  while (!waiting_.empty()) {
    if (!send(waiting_.front())) break;
    waiting_bytes_ -= waiting_.front().packet->size();
    waiting_.pop_front();
  }
  if (!waiting_.empty() && socket_.is_open()) wait_to_write();
}

void Client::close() {
  if (!socket_.is_open()) return;
  error_code ignored;
  socket_.close(ignored);
  // In send_waiting() the first of waiting_ is still looked at: it goes with this object.
  const auto keep = shared_from_this();
  if (hooks_.closed) hooks_.closed(*this);
}

}  // namespace appserver::bus
