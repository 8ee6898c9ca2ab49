#include "bus/client.hpp"

#include <sys/socket.h>

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

Header header_of(std::string_view packet) {
  Header header{};
  std::memcpy(&header, packet.data(), sizeof(header));
  return header;
}

// Of a result there is none.
std::string_view topic_of(std::string_view packet) {
  return packet.substr(sizeof(Header), header_of(packet).name_size);
}

}  // namespace

Client::Client(boost::asio::io_context& context, os::Fd socket, std::uint64_t worker,
               std::string name, Shared shared, Hooks hooks)
    : socket_(context.get_executor(), socket.get()),
      worker_(worker),
      name_(std::make_shared<const std::string>(std::move(name))),
      shared_(shared),
      hooks_(std::move(hooks)) {
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
      close_elsewhere(packet.fds);
      return refuse("it sent what cannot be read");
    }
    const auto message = decode_request(packet.data);
    if (!message || !packet.fds.empty()) {
      close_elsewhere(packet.fds);
      return refuse("it sent what is no message of the bus");
    }
    hooks_.message(*this, *message);
    if (!socket_.is_open()) return;
  }
  wait_to_read();
}

void Client::answer(Header header, std::string_view value) {
  header.kind = Kind::result;
  push(results_,
       std::make_shared<const Packet>(shared_.budget, encode(header, {}, value), nullptr));
}

void Client::push(Queue& queue, std::shared_ptr<const Packet> packet) {
  if (!socket_.is_open()) return;
  if (next_queue() == nullptr && send(packet->bytes())) return;
  if (!socket_.is_open()) return;
  const std::size_t cost = packet->bytes().size() + kOverhead;
  waiting_bytes_ += cost;
  shared_.budget.take(kOverhead);
  queue.push_back({std::move(packet), ++last_number_});
  while (waiting_bytes_ > kMaxWaiting) {
    if (!drop_oldest(Loss::own_bound)) return refuse(kFetchesNothing);
  }
  if (shared_.budget.is_exceeded() && hooks_.over_budget) hooks_.over_budget();
  if (socket_.is_open()) wait_to_write();
}

bool Client::drop_oldest(Loss loss) {
  if (messages_.empty()) return false;
  const Packet& packet = *messages_.front().packet;
  const std::string_view topic = topic_of(packet.bytes());
  if (hooks_.dropped) hooks_.dropped({*name_, packet.from()}, topic, loss);
  const auto lost = lost_.find(topic);
  if (lost != lost_.end()) ++lost->second;
  ++shared_.count.dropped;
  pop(messages_);
  return true;
}

// That of the packet which came first; null where none waits.
Client::Queue* Client::next_queue() {
  if (messages_.empty()) return results_.empty() ? nullptr : &results_;
  if (results_.empty()) return &messages_;
  return messages_.front().number < results_.front().number ? &messages_ : &results_;
}

void Client::pop(Queue& queue) {
  waiting_bytes_ -= queue.front().packet->bytes().size() + kOverhead;
  shared_.budget.give_back(kOverhead);
  queue.pop_front();
}

void Client::forget_waiting() {
  while (!messages_.empty()) pop(messages_);
  while (!results_.empty()) pop(results_);
}

// False where the socket is full, or closed.
bool Client::send(std::string_view packet) {
  Header header = header_of(packet);
  const auto lost = lost_.find(topic_of(packet));
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
  if (header.kind == Kind::deliver) ++shared_.count.sent;
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
  while (Queue* const queue = next_queue()) {
    // Kept: where the socket is closed the queue is forgotten.
    const auto packet = queue->front().packet;
    if (!send(packet->bytes())) break;
    pop(*queue);
  }
  if (next_queue() != nullptr && socket_.is_open()) wait_to_write();
}

// Where that is not possible they stay open.
void Client::close_elsewhere(std::vector<os::Fd>& fds) {
  for (os::Fd& fd : fds) static_cast<void>(shared_.closer.close(std::move(fd)));
  fds.clear();
}

void Client::refuse(std::string_view why) {
  if (socket_.is_open() && hooks_.refused) hooks_.refused(*this, why);
  close();
}

void Client::close() {
  if (!socket_.is_open()) return;
  // Descriptors may be in its queue.
  static_cast<void>(::shutdown(socket_.native_handle(), SHUT_RDWR));
  static_cast<void>(shared_.closer.close(os::Fd(socket_.release())));
  forget_waiting();
  const auto keep = shared_from_this();
  if (hooks_.closed) hooks_.closed(*this);
}

}  // namespace appserver::bus
