#include "support/crowd.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

#include "os/error.hpp"
#include "support/eventually.hpp"
#include "support/websocket.hpp"

namespace appserver::integration {

Crowd::Crowd(const Endpoint& endpoint, std::size_t clients, std::uint64_t window)
    : window_(window), wake_(os::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  clients_.reserve(clients);
  for (std::size_t i = 0; i < clients; ++i) clients_.push_back({Talk(endpoint)});
  thread_ = std::thread([this] { run(); });
}

Crowd::~Crowd() {
  give_up_ = true;
  ::eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void Crowd::run() {
  std::vector<pollfd> polled;
  while (!give_up_) {
    polled.assign(1, {wake_.get(), POLLIN, 0});
    std::size_t waiting = 0;
    for (Client& client : clients_) {
      if (client.problem.empty() && !stopping_) write(client);
      const bool over = !client.problem.empty();
      waiting += over ? 0 : static_cast<std::size_t>(client.sent - client.answered);
      const int events = client.unsent.empty() ? POLLIN : POLLIN | POLLOUT;
      polled.push_back({over ? -1 : client.talk.fd(), static_cast<short>(events), 0});
    }
    waiting_ = waiting;
    if (stopping_ && waiting == 0) return;
    ::poll(polled.data(), polled.size(), -1);
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      Client& client = clients_[i];
      if ((polled[i + 1].revents & POLLOUT) != 0) write(client);
      if ((polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read(client);
    }
  }
}

void Crowd::write(Client& client) {
  while (!stopping_ && client.sent - client.answered < window_) {
    client.unsent += masked_frame(Opcode::text, std::to_string(++client.sent));
  }
  if (client.unsent.empty()) return;
  const ssize_t size = ::send(client.talk.fd(), client.unsent.data(), client.unsent.size(),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size > 0) client.unsent.erase(0, static_cast<std::size_t>(size));
}

void Crowd::read(Client& client) {
  std::array<char, 16384> bytes;
  const ssize_t size = ::recv(client.talk.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    client.problem = "disconnected behind answer " + std::to_string(client.answered);
    return;
  }
  client.received.append(bytes.data(), static_cast<std::size_t>(size));
  try {
    while (auto frame = take_frame(client.received)) {
      if (frame->opcode == Opcode::ping) continue;
      if (frame->opcode != Opcode::text) throw std::runtime_error("a frame that is no text");
      take(client, frame->payload);
      if (!client.problem.empty()) return;
    }
  } catch (const std::exception& error) {
    client.problem = error.what();
  }
}

void Crowd::take(Client& client, const std::string& answer) {
  const std::size_t last = answer.rfind(' ');
  std::uint64_t number = 0;
  std::from_chars(answer.data() + last + 1, answer.data() + answer.size(), number);
  const bool again = answer.find(" again ") != std::string::npos;
  if (again) ++again_;
  // What was given to a worker that has ended may be answered twice, but only as a whole run.
  if (again && number >= 1 && number <= client.answered) return;
  if (number != client.answered + 1) {
    client.problem = "'" + answer + "' behind answer " + std::to_string(client.answered);
    return;
  }
  ++client.answered;
  ++answered_;
}

void Crowd::wait_for_more(std::size_t answers, Deadline deadline) const {
  const std::size_t wanted = answered_ + answers;
  eventually("the crowd got " + std::to_string(answers) + " more answers", deadline,
             [&] { return answered_ >= wanted; });
}

std::vector<std::string> Crowd::stop(Deadline deadline) {
  stopping_ = true;
  ::eventfd_write(wake_.get(), 1);
  std::vector<std::string> problems;
  try {
    eventually("all that the crowd has sent is answered", deadline, [&] { return waiting_ == 0; });
  } catch (const std::exception& error) {
    problems.emplace_back(error.what());
  }
  give_up_ = true;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const Client& client = clients_[i];
    const std::string name = "client " + std::to_string(i) + ": ";
    if (!client.problem.empty()) {
      problems.push_back(name + client.problem);
    } else if (client.sent != client.answered) {
      problems.push_back(name + std::to_string(client.sent - client.answered) + " of " +
                         std::to_string(client.sent) + " messages were not answered");
    }
  }
  return problems;
}

}  // namespace appserver::integration
