#include "support/talk.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

#include "support/eventually.hpp"

namespace appserver::integration {

namespace {

void wait_for(int fd, short events, const Deadline& deadline, const char* what) {
  pollfd polled{fd, events, 0};
  if (::poll(&polled, 1, deadline.poll_timeout()) <= 0)
    throw std::runtime_error(std::string("timeout: ") + what);
}

}  // namespace

std::string Talk::framed(std::string_view message) const {
  if (scheme_ == "text") return std::string(message) + "\n";
  if (is_websocket()) {
    return deflate_ ? masked_frame(Opcode::text, deflated(message), true, true)
                    : masked_frame(Opcode::text, message);
  }
  if (scheme_ != "frame") return std::string(message);
  const std::uint32_t size = htonl(static_cast<std::uint32_t>(message.size() + 4));
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &size, 4);
  return bytes.append(message);
}

Talk::Talk(const Endpoint& endpoint, milliseconds patience, WebSocketWish wish)
    : scheme_(endpoint.scheme), patience_(patience) {
  int error = 0;
  socket_ = begin_connect(endpoint, error);
  if (error == EINPROGRESS) {
    wait_for(socket_.get(), POLLOUT, Deadline(patience), "connecting");
    socklen_t size = sizeof(error);
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) throw std::runtime_error(std::string("connect: ") + std::strerror(error));
  send_bytes(wish.preamble);
  if (is_websocket()) shake_hands(endpoint, wish);
}

void Talk::shake_hands(const Endpoint& endpoint, const WebSocketWish& wish) {
  send_bytes(handshake_of(endpoint, wish));
  const Deadline deadline(patience_);
  std::size_t end = std::string::npos;
  while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more(deadline))
      throw std::runtime_error("the server has ended the connection at its opening: " + unread_);
  }
  opened_ = unread_.substr(0, end + 4);
  if (!opened_.starts_with("HTTP/1.1 101 ")) throw std::runtime_error("refused: " + unread_);
  unread_.erase(0, end + 4);
  deflate_ = opened_.find("permessage-deflate") != std::string::npos;
}

void Talk::send(std::string_view message) { send_bytes(framed(message)); }

void Talk::send_bytes(std::string_view bytes) {
  const Deadline deadline(patience_);
  while (!bytes.empty()) {
    const auto put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno == EAGAIN) {
      wait_for(socket_.get(), POLLOUT, deadline, "sending");
    } else {
      throw std::runtime_error(std::string("send: ") + std::strerror(errno));
    }
  }
}

bool Talk::read_more(const Deadline& deadline) {
  wait_for(socket_.get(), POLLIN, deadline, "receiving");
  std::array<char, 65'536> buffer;
  const auto got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && errno != EAGAIN)
    throw std::runtime_error(std::string("receive: ") + std::strerror(errno));
  if (got > 0) unread_.append(buffer.data(), static_cast<std::size_t>(got));
  return got != 0;
}

// Pings are answered, a close frame is, too.
std::optional<std::string> Talk::take_message() {
  while (auto frame = take_frame(unread_)) {
    switch (frame->opcode) {
      case Opcode::text:
      case Opcode::binary:
        return frame->compressed ? inflated(frame->payload) : frame->payload;
      case Opcode::ping:
        send_bytes(masked_frame(Opcode::pong, frame->payload));
        break;
      case Opcode::close:
        if (frame->payload.size() >= 2) {
          close_code_ = static_cast<unsigned>(static_cast<unsigned char>(frame->payload[0])) << 8 |
                        static_cast<unsigned char>(frame->payload[1]);
          close_reason_ = frame->payload.substr(2);
        }
        send_bytes(masked_frame(Opcode::close, frame->payload.substr(0, 2)));
        break;
      case Opcode::pong:
      case Opcode::continuation:
        break;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Talk::take() {
  if (is_websocket()) return take_message();
  std::size_t skip = 0;
  std::size_t size = 0;
  std::size_t behind = 0;
  if (scheme_ == "frame") {
    if (unread_.size() < 4) return std::nullopt;
    std::uint32_t length = 0;
    std::memcpy(&length, unread_.data(), 4);
    skip = 4;
    size = ntohl(length) - 4;
    if (unread_.size() < skip + size) return std::nullopt;
  } else if (scheme_ == "text") {
    size = unread_.find('\n');
    if (size == std::string::npos) return std::nullopt;
    behind = 1;
  } else {
    if (unread_.empty()) return std::nullopt;
    size = unread_.size();
  }
  std::string message = unread_.substr(skip, size);
  unread_.erase(0, skip + size + behind);
  return message;
}

std::optional<std::string> Talk::receive() {
  const Deadline deadline(patience_);
  for (;;) {
    if (auto message = take()) return message;
    if (ended_ || !read_more(deadline)) {
      ended_ = true;
      if (!unread_.empty()) throw std::runtime_error("the connection ended within a message");
      return std::nullopt;
    }
  }
}

std::string Talk::ask(std::string_view message) {
  send(message);
  auto answer = receive();
  if (!answer) throw std::runtime_error("the server has ended the connection");
  return *answer;
}

bool Talk::closed_by_server() { return !receive().has_value(); }

void Talk::shut_down_sending() { ::shutdown(socket_.get(), SHUT_WR); }

TalkLoad::TalkLoad(Endpoint endpoint, int clients, WebSocketWish wish)
    : endpoint_(std::move(endpoint)), wish_(std::move(wish)) {
  problems_.resize(static_cast<std::size_t>(clients));
  for (int i = 0; i < clients; ++i) {
    const auto seed = static_cast<unsigned>(i);
    clients_.emplace_back([this, seed] { problems_[seed] = run_client(seed); });
  }
}

TalkLoad::~TalkLoad() { stop(); }

// Every third message comes in two halves, every fourth behind another one; over a WebSocket half
// of the others in two fragments.
std::string TalkLoad::run_client(unsigned seed) {
  std::minstd_rand random(seed + 1);
  const std::string client = "client " + std::to_string(seed) + ": ";
  try {
    Talk talk(endpoint_, 15s, wish_);
    const bool fragments = endpoint_.scheme == "ws" || endpoint_.scheme == "http";
    std::uint64_t number = 0;
    const auto expect = [&](const std::string& message) {
      const std::string answer = talk.receive().value_or("(closed)");
      const std::string expected = " " + std::to_string(++number) + " " + message;
      if (!answer.ends_with(expected))
        throw std::runtime_error("'" + answer + "' for '" + expected + "'");
      ++answered_;
    };
    while (!stopping_) {
      const std::string message(1 + random() % 600, static_cast<char>('a' + random() % 26));
      if (endpoint_.scheme != "tcp" && random() % 4 == 0) {
        talk.send_bytes(talk.framed("first") + talk.framed(message));
        expect("first");
      } else if (endpoint_.scheme != "tcp" && random() % 3 == 0) {
        const std::string bytes = talk.framed(message);
        talk.send_bytes(bytes.substr(0, bytes.size() / 2));
        std::this_thread::yield();
        talk.send_bytes(bytes.substr(bytes.size() / 2));
      } else if (fragments && random() % 2 == 0) {
        talk.send_bytes(masked_frame(Opcode::text, message.substr(0, 1), false));
        std::this_thread::yield();
        talk.send_bytes(masked_frame(Opcode::continuation, message.substr(1)));
      } else {
        talk.send(message);
      }
      expect(message);
    }
  } catch (const std::exception& error) {
    return client + error.what();
  }
  return {};
}

void TalkLoad::wait_for_more(std::size_t answers, Deadline deadline) const {
  const std::size_t wanted = answered_ + answers;
  eventually("the load got " + std::to_string(answers) + " more answers", deadline,
             [&] { return answered_ >= wanted; });
}

std::vector<std::string> TalkLoad::stop() {
  stopping_ = true;
  for (auto& client : clients_) client.join();
  clients_.clear();
  std::vector<std::string> result;
  for (auto& problem : problems_) {
    if (!problem.empty()) result.push_back(std::exchange(problem, {}));
  }
  return result;
}

}  // namespace appserver::integration
