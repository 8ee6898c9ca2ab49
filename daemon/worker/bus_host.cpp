#include "worker/bus_host.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "os/message_socket.hpp"
#include "telemetry/worker_page.hpp"
#include "worker/abi_text.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

using boost::system::error_code;
using telemetry::Hook;
using telemetry::InHook;

// What comes from the bus in one turn of the loop.
constexpr int kMessagesPerTurn = 64;

std::int32_t to_abi(bus::Status status) {
  switch (status) {
    case bus::Status::ok:
      return APPSERVER_OK;
    case bus::Status::not_found:
      return APPSERVER_NOT_FOUND;
    case bus::Status::conflict:
      return APPSERVER_BUS_CONFLICT;
    case bus::Status::full:
      return APPSERVER_LIMIT;
    case bus::Status::not_a_number:
      break;
  }
  return APPSERVER_INVALID;
}

}  // namespace

BusHost::BusHost(boost::asio::io_context& context, PluginHost& host)
    : context_(context),
      host_(host),
      ask_timer_(context),
      deadline_timer_(context),
      tell_timer_(context) {}

BusHost::~BusHost() { stop(); }

void BusHost::stop() {
  if (std::exchange(stopped_, true)) return;
  for (const Waiting& each : waiting_) note_loss(each, bus::Loss::end);
  for (const std::string& line : losses_.report(Clock::time_point::max()))
    host_.log(APPSERVER_LOG_WARNING, line);
  operations_.clear();
  subscriptions_.clear();
  topics_.clear();
  waiting_.clear();
  socket_.reset();
  ask_timer_.cancel();
  deadline_timer_.cancel();
  tell_timer_.cancel();
}

bool BusHost::usable(std::string_view name, std::string_view value, std::int32_t& refusal) const {
  const bool fits = !name.empty() && name.size() <= bus::kMaxName && value.size() <= bus::kMaxValue;
  refusal = stopped_ || !ask_ ? APPSERVER_GONE : APPSERVER_INVALID;
  return !stopped_ && ask_ && fits;
}

std::int32_t BusHost::publish(std::string_view topic, std::string_view message) {
  std::int32_t refusal = APPSERVER_OK;
  if (!usable(topic, message, refusal)) return refusal;
  bus::Header header;
  header.kind = bus::Kind::publish;
  return give(bus::encode(header, topic, message), 0, Clock::now() + kDeadline) ? APPSERVER_OK
                                                                                : APPSERVER_LIMIT;
}

std::int32_t BusHost::subscribe(std::string_view topic, Deliver call, void* argument,
                                appserver_subscription& subscription) {
  std::int32_t refusal = APPSERVER_OK;
  if (!usable(topic, {}, refusal)) return refusal;
  if (call == nullptr) return APPSERVER_INVALID;
  auto found = topics_.find(topic);
  const bool is_new = found == topics_.end();
  if (subscriptions_.size() >= kMaxSubscriptions || (is_new && topics_.size() >= bus::kMaxTopics))
    return APPSERVER_LIMIT;
  if (is_new) {
    bus::Header header;
    header.kind = bus::Kind::subscribe;
    // One that is not connected subscribes to all its topics when it is.
    if (socket_ && !give(bus::encode(header, topic, {}), 0, Clock::time_point::max()))
      return APPSERVER_LIMIT;
    found = topics_.emplace(std::string(topic), std::vector<appserver_subscription>()).first;
  }
  subscription = ++last_id_;
  found->second.push_back(subscription);
  subscriptions_.emplace(subscription, Subscription{std::string(topic), call, argument});
  if (!socket_) ask();
  return APPSERVER_OK;
}

std::int32_t BusHost::unsubscribe(appserver_subscription id) {
  const auto found = subscriptions_.find(id);
  if (found == subscriptions_.end()) return APPSERVER_NOT_FOUND;
  const auto topic = topics_.find(found->second.topic);
  std::erase(topic->second, id);
  if (topic->second.empty()) {
    bus::Header header;
    header.kind = bus::Kind::unsubscribe;
    // Where this finds no room, what comes is of no subscription and thrown away.
    if (socket_)
      static_cast<void>(give(bus::encode(header, topic->first, {}), 0, Clock::time_point::max()));
    topics_.erase(topic);
  }
  subscriptions_.erase(found);
  return APPSERVER_OK;
}

std::int32_t BusHost::operate(bus::Header header, std::string_view key, std::string_view value,
                              Done done, void* argument) {
  std::int32_t refusal = APPSERVER_OK;
  if (!usable(key, value, refusal)) return refusal;
  if (done == nullptr) return APPSERVER_INVALID;
  if (operations_.size() >= kMaxOperations) return APPSERVER_LIMIT;
  header.id = ++last_id_;
  operations_.emplace(header.id, Operation{done, argument, Clock::now() + kDeadline, false});
  if (!give(bus::encode(header, key, value), header.id, Clock::now() + kDeadline)) {
    operations_.erase(header.id);
    return APPSERVER_LIMIT;
  }
  arm();
  return APPSERVER_OK;
}

std::int32_t BusHost::on_reset(Reset call, void* argument) {
  if (stopped_) return APPSERVER_GONE;
  reset_ = call;
  reset_argument_ = argument;
  return APPSERVER_OK;
}

void BusHost::ask() {
  if (stopped_ || std::exchange(asking_, true)) return;
  ask_(given_);
  ask_timer_.expires_after(kAskInterval);
  ask_timer_.async_wait([this](const error_code& error) {
    if (error || stopped_) return;
    asking_ = false;
    drop_late();
    if (!socket_ && (!waiting_.empty() || !topics_.empty())) ask();
  });
}

// False where no more may wait. Without a deadline it is of this connection: the next one begins
// with the topics that there are then.
bool BusHost::give(std::string packet, std::uint64_t operation, Clock::time_point deadline) {
  Waiting waiting{std::move(packet), operation, deadline};
  if (socket_ && waiting_.empty() && send(waiting)) return true;
  if (waiting_bytes_ + waiting.packet.size() > kMaxWaiting) drop_late();
  if (waiting_bytes_ + waiting.packet.size() > kMaxWaiting) return false;
  waiting_bytes_ += waiting.packet.size();
  waiting_.push_back(std::move(waiting));
  if (socket_) {
    wait_to_write();
  } else {
    ask();
  }
  return true;
}

// False where it is to wait: the socket is full, or closed, which the reader will find out.
bool BusHost::send(const Waiting& waiting) {
  try {
    if (os::send_packet(socket_->native_handle(), waiting.packet) != os::SendResult::sent)
      return false;
  } catch (const std::exception& error) {
    // Not kept, so that it holds up nothing behind it: an operation ends by its deadline.
    host_.log(APPSERVER_LOG_ERROR, std::string("sending to the bus: ") + error.what());
    return true;
  }
  const auto found = operations_.find(waiting.operation);
  if (found != operations_.end()) found->second.sent = true;
  return true;
}

void BusHost::send_waiting() {
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    const bool awaited = first.operation == 0 || operations_.contains(first.operation);
    if (awaited && !send(first)) return wait_to_write();
    waiting_bytes_ -= first.packet.size();
    waiting_.pop_front();
  }
}

// What waits for a connection and is not worth it any more.
void BusHost::drop_late() {
  if (socket_) return;
  const auto now = Clock::now();
  while (!waiting_.empty() && waiting_.front().deadline <= now) {
    note_loss(waiting_.front(), bus::Loss::no_bus);
    waiting_bytes_ -= waiting_.front().packet.size();
    waiting_.pop_front();
  }
  tell_losses();
}

// Of operations their own end tells, and subscriptions are made again.
void BusHost::note_loss(const Waiting& waiting, bus::Loss loss) {
  const auto message = bus::decode_request(waiting.packet);
  if (message && message->header.kind == bus::Kind::publish)
    losses_.dropped({}, message->name, loss);
}

void BusHost::tell_losses() {
  if (told_) return;
  const auto lines = losses_.report(Clock::now());
  if (lines.empty()) return;
  for (const std::string& line : lines) host_.log(APPSERVER_LOG_WARNING, line);
  told_ = true;
  tell_timer_.expires_after(bus::Losses::kInterval);
  tell_timer_.async_wait([this](const error_code& error) {
    if (error || stopped_) return;
    told_ = false;
    tell_losses();
  });
}

void BusHost::wait_to_write() {
  if (std::exchange(writing_, true)) return;
  socket_->async_wait(Descriptor::wait_write, [this, socket = socket_](const error_code& error) {
    if (stopped_ || socket != socket_) return;
    writing_ = false;
    if (!error) send_waiting();
  });
}

void BusHost::connected(os::Fd socket) {
  if (stopped_) return;
  if (socket_) lost();
  auto fresh = std::make_shared<Descriptor>(context_.get_executor(), socket.get());
  socket.release();
  socket_ = std::move(fresh);
  writing_ = false;
  drop_late();
  bus::Header header;
  header.kind = bus::Kind::subscribe;
  // Before what waits, for which the worker may be a subscriber. More than the bound may wait here.
  for (auto topic = topics_.rbegin(); topic != topics_.rend(); ++topic) {
    waiting_.push_front({bus::encode(header, topic->first, {}), 0, Clock::time_point::max()});
    waiting_bytes_ += waiting_.front().packet.size();
  }
  send_waiting();
  wait_to_read();
  if (given_++ == 0 || reset_ == nullptr) return;
  const InHook in_hook(host_.page(), Hook::bus_call);
  reset_(reset_argument_);
}

void BusHost::wait_to_read() {
  socket_->async_wait(Descriptor::wait_read, [this, socket = socket_](const error_code& error) {
    if (!error && !stopped_ && socket == socket_) read();
  });
}

void BusHost::read() {
  os::Packet packet;
  const auto socket = socket_;
  for (int count = 0; count < kMessagesPerTurn; ++count) {
    auto result = os::ReceiveResult::closed;
    try {
      result = os::receive_packet(socket->native_handle(), bus::kMaxPacket, packet);
    } catch (const std::exception& error) {
      host_.log(APPSERVER_LOG_ERROR, std::string("reading from the bus: ") + error.what());
    }
    if (result == os::ReceiveResult::would_block) break;
    const auto message =
        result == os::ReceiveResult::received ? bus::decode_reply(packet.data) : std::nullopt;
    if (!message) {
      lost();
      return ask();
    }
    take(*message);
    if (stopped_ || socket_ != socket) return;
  }
  wait_to_read();
}

void BusHost::take(const bus::Message& message) {
  if (message.header.kind == bus::Kind::deliver) return deliver(message);
  appserver_bus_result result{};
  result.size = sizeof(result);
  result.status = to_abi(static_cast<bus::Status>(message.header.detail));
  result.version = message.header.version;
  result.number = static_cast<std::int64_t>(message.header.number);
  result.value = view(message.value);
  finish(message.header.id, result);
}

void BusHost::deliver(const bus::Message& message) {
  const auto topic = topics_.find(message.name);
  if (topic == topics_.end()) return;
  // A call may end any of them.
  for (const appserver_subscription id : std::vector(topic->second)) {
    const auto found = subscriptions_.find(id);
    if (found == subscriptions_.end()) continue;
    const InHook in_hook(host_.page(), Hook::bus_call);
    found->second.call(found->second.argument, view(message.value), message.header.number);
  }
}

void BusHost::finish(std::uint64_t id, const appserver_bus_result& result) {
  const auto found = operations_.find(id);
  if (found == operations_.end()) return;
  const Operation operation = found->second;
  operations_.erase(found);
  const InHook in_hook(host_.page(), Hook::bus_call);
  operation.done(operation.argument, &result);
}

void BusHost::fail(std::uint64_t id) {
  appserver_bus_result result{};
  result.size = sizeof(result);
  result.status = APPSERVER_BUS_UNREACHABLE;
  result.value = view({});
  finish(id, result);
}

// Nobody answers what was sent; what was not has its time still.
void BusHost::lost() {
  socket_.reset();
  writing_ = false;
  std::erase_if(waiting_, [&](const Waiting& each) {
    const bool of_connection = each.deadline == Clock::time_point::max();
    if (of_connection) waiting_bytes_ -= each.packet.size();
    return of_connection;
  });
  std::vector<std::uint64_t> unanswered;
  for (const auto& [id, operation] : operations_) {
    if (operation.sent) unanswered.push_back(id);
  }
  for (const std::uint64_t id : unanswered) fail(id);
}

void BusHost::arm() {
  if (operations_.empty() || std::exchange(armed_, true)) return;
  deadline_timer_.expires_at(operations_.begin()->second.deadline);
  deadline_timer_.async_wait([this](const error_code& error) {
    if (error || stopped_) return;
    armed_ = false;
    check_deadlines();
  });
}

void BusHost::check_deadlines() {
  const auto now = Clock::now();
  while (!operations_.empty() && operations_.begin()->second.deadline <= now)
    fail(operations_.begin()->first);
  arm();
}

}  // namespace appserver::worker
