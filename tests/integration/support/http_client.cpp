#include "support/http_client.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

#include "os/error.hpp"

namespace appserver::integration {

namespace {

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

Outcome outcome_of(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ENOENT:  // of a unix socket
      return Outcome::refused;
    case ECONNRESET:
    case EPIPE:
      return Outcome::reset;
    case ETIMEDOUT:
      return Outcome::timeout;
    default:
      return Outcome::failed;
  }
}

bool parse_status_line(std::string_view line, Response& response) {
  // "HTTP/1.1 200 OK": fixed places, so that nothing looser passes.
  if (line.size() < 13 || !line.starts_with("HTTP/1.") || line[8] != ' ' || line[12] != ' ') {
    return false;
  }
  if (line[7] != '0' && line[7] != '1') return false;
  response.version = line[7] == '1' ? 11 : 10;
  const auto digits = line.substr(9, 3);
  const auto parsed = std::from_chars(digits.data(), digits.data() + 3, response.status);
  return parsed.ec == std::errc() && parsed.ptr == digits.data() + 3 && response.status >= 100;
}

bool parse_header_line(std::string_view line, Response& response) {
  const auto colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const auto name = line.substr(0, colon);
  if (name.find_first_of(" \t") != std::string_view::npos) return false;
  auto value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  response.headers.emplace_back(name, value);
  return true;
}

std::optional<std::size_t> parse_size(std::string_view digits, int base) {
  std::size_t size = 0;
  const auto* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, size, base);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return size;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::refused:
      return "refused";
    case Outcome::reset:
      return "reset";
    case Outcome::eof:
      return "closed before an answer";
    case Outcome::cut_short:
      return "cut short";
    case Outcome::timeout:
      return "timeout";
    case Outcome::malformed:
      return "malformed";
    case Outcome::failed:
      return "failed";
  }
  return "?";
}

std::string Response::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_ignoring_case(key, name)) return value;
  }
  return {};
}

std::size_t Response::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(headers.begin(), headers.end(),
                    [&](const auto& header) { return same_ignoring_case(header.first, name); }));
}

std::string Response::text() const {
  if (outcome != Outcome::ok) return std::string(name_of(outcome)) + " (" + detail + ")";
  std::string text = std::to_string(status);
  for (const auto& [name, value] : headers) text += " | " + name + ": " + value;
  return text + " | " + std::to_string(body.size()) + " bytes: " + body.substr(0, 120);
}

Connection::Connection(Endpoint endpoint, milliseconds patience)
    : endpoint_(std::move(endpoint)), patience_(patience) {}

void Connection::close() {
  socket_.reset();
  unread_.clear();
}

Response Connection::fail(Outcome outcome, std::string detail) {
  Response response;
  response.outcome = outcome;
  response.detail = std::move(detail);
  if (outcome == Outcome::failed || outcome == Outcome::reset) {
    response.detail += std::string(": ") + std::strerror(last_error_);
  }
  close();
  return response;
}

Outcome Connection::wait_for(short events, const Deadline& deadline) {
  for (;;) {
    pollfd state{socket_.get(), events, 0};
    const int count = ::poll(&state, 1, deadline.poll_timeout());
    if (count > 0) return Outcome::ok;
    if (count == 0) return Outcome::timeout;
    if (errno != EINTR) return Outcome::failed;
  }
}

Outcome Connection::connect() {
  close();
  const Deadline deadline(patience_);
  ++connects_;
  socket_ = begin_connect(endpoint_, last_error_);
  if (last_error_ == EAGAIN) {
    // A unix socket whose queue is full says so instead of waiting; the listener is there.
    while (last_error_ == EAGAIN && !deadline.passed()) {
      ::poll(nullptr, 0, 1);
      socket_ = begin_connect(endpoint_, last_error_);
    }
  }
  if (last_error_ == EINPROGRESS) {
    if (const auto waited = wait_for(POLLOUT, deadline); waited != Outcome::ok) {
      socket_.reset();
      return waited;
    }
    socklen_t size = sizeof(last_error_);
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &last_error_, &size);
  }
  if (last_error_ == 0) return Outcome::ok;
  socket_.reset();
  return outcome_of(last_error_);
}

Outcome Connection::send(std::string_view bytes) {
  if (!connected()) {
    if (const auto outcome = connect(); outcome != Outcome::ok) return outcome;
  }
  const Deadline deadline(patience_);
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      if (const auto waited = wait_for(POLLOUT, deadline); waited != Outcome::ok) return waited;
    } else if (errno != EINTR) {
      last_error_ = errno;
      return outcome_of(last_error_);
    }
  }
  return Outcome::ok;
}

Outcome Connection::read_more(const Deadline& deadline) {
  char piece[65536];
  for (;;) {
    const ssize_t count = ::recv(socket_.get(), piece, sizeof(piece), 0);
    if (count > 0) {
      unread_.append(piece, static_cast<std::size_t>(count));
      return Outcome::ok;
    }
    if (count == 0) return Outcome::eof;
    if (errno == EAGAIN) {
      if (const auto waited = wait_for(POLLIN, deadline); waited != Outcome::ok) return waited;
    } else if (errno != EINTR) {
      last_error_ = errno;
      return outcome_of(last_error_);
    }
  }
}

std::optional<Response> Connection::read_until(std::size_t size, const Deadline& deadline) {
  while (unread_.size() < size) {
    const auto outcome = read_more(deadline);
    if (outcome == Outcome::ok) continue;
    return fail(outcome == Outcome::eof ? Outcome::cut_short : outcome, "within a body");
  }
  return std::nullopt;
}

std::optional<std::string> Connection::take_line(Response& response, const Deadline& deadline) {
  for (;;) {
    const auto end = unread_.find("\r\n");
    if (end != std::string::npos) {
      auto line = unread_.substr(0, end);
      unread_.erase(0, end + 2);
      return line;
    }
    const auto outcome = read_more(deadline);
    if (outcome == Outcome::ok) continue;
    const bool first = response.status == 0 && unread_.empty();
    response = outcome == Outcome::eof
                   ? fail(first ? Outcome::eof : Outcome::cut_short, "waiting for a line")
                   : fail(outcome, first ? "waiting for an answer" : "within an answer");
    return std::nullopt;
  }
}

Response Connection::receive(bool to_head) {
  if (!connected()) return fail(Outcome::failed, "not connected");
  const Deadline deadline(patience_);
  Response response;
  auto line = take_line(response, deadline);
  if (!line) return response;
  if (!parse_status_line(*line, response)) return fail(Outcome::malformed, "status line " + *line);
  for (;;) {
    line = take_line(response, deadline);
    if (!line) return response;
    if (line->empty()) break;
    if (!parse_header_line(*line, response)) return fail(Outcome::malformed, "header " + *line);
  }
  response.outcome = Outcome::ok;
  read_body(response, to_head, deadline);
  return response;
}

void Connection::read_body(Response& response, bool to_head, const Deadline& deadline) {
  const bool none =
      to_head || response.status < 200 || response.status == 204 || response.status == 304;
  if (none) return;
  if (response.count("Transfer-Encoding") > 0) {
    if (response.header("Transfer-Encoding") != "chunked" || response.count("Content-Length") > 0) {
      response = fail(Outcome::malformed, "framing: " + response.text());
      return;
    }
    read_chunked_body(response, deadline);
    return;
  }
  if (response.count("Content-Length") == 0) {
    read_body_to_end(response, deadline);
    return;
  }
  const auto size = parse_size(response.header("Content-Length"), 10);
  if (!size || response.count("Content-Length") > 1) {
    response = fail(Outcome::malformed, "framing: " + response.text());
    return;
  }
  read_sized_body(response, *size, deadline);
}

void Connection::read_sized_body(Response& response, std::size_t size, const Deadline& deadline) {
  if (auto failure = read_until(size, deadline)) {
    response = *failure;
    return;
  }
  response.body = unread_.substr(0, size);
  unread_.erase(0, size);
}

void Connection::read_chunked_body(Response& response, const Deadline& deadline) {
  for (;;) {
    const auto line = take_line(response, deadline);
    if (!line) return;
    const auto size = parse_size(*line, 16);
    if (!size) {
      response = fail(Outcome::malformed, "chunk size " + *line);
      return;
    }
    if (auto failure = read_until(*size + 2, deadline)) {
      response = *failure;
      return;
    }
    response.body += unread_.substr(0, *size);
    const bool ends_well = unread_.compare(*size, 2, "\r\n") == 0;
    unread_.erase(0, *size + 2);
    if (!ends_well) {
      response = fail(Outcome::malformed, "end of a chunk");
      return;
    }
    if (*size == 0) return;
  }
}

void Connection::read_body_to_end(Response& response, const Deadline& deadline) {
  for (;;) {
    const auto outcome = read_more(deadline);
    if (outcome == Outcome::ok) continue;
    if (outcome != Outcome::eof) {
      response = fail(outcome, "within a body that ends with the connection");
      return;
    }
    response.body = std::move(unread_);
    close();
    return;
  }
}

Response Connection::raw(std::string_view request) {
  if (const auto outcome = send(request); outcome == Outcome::refused) {
    return fail(outcome, "connecting to " + endpoint_.text());
  } else if (outcome != Outcome::ok && !connected()) {
    return fail(outcome, "connecting to " + endpoint_.text());
  } else if (outcome == Outcome::failed || outcome == Outcome::timeout) {
    return fail(outcome, "sending");
  }
  // After a reset while sending, an answer such as 413 may still be there to read.
  return receive();
}

Response Connection::get(std::string_view target) {
  return raw(request_text("GET", target, endpoint_.authority()));
}

Response Connection::post(std::string_view target, std::string_view body) {
  return raw(request_text("POST", target, endpoint_.authority(), body));
}

bool Connection::closed_by_server(Deadline deadline) {
  while (connected()) {
    const auto outcome = read_more(deadline);
    if (outcome == Outcome::ok) continue;
    return outcome == Outcome::eof || outcome == Outcome::reset;
  }
  return true;
}

void Connection::shut_down_sending() { ::shutdown(socket_.get(), SHUT_WR); }

std::string Connection::local_address() const {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  ::getsockname(socket_.get(), static_cast<sockaddr*>(static_cast<void*>(&address)), &size);
  return "port " + std::to_string(ntohs(address.sin_port));
}

std::string request_text(std::string_view method, std::string_view target,
                         std::string_view authority, std::string_view body,
                         std::string_view more_headers) {
  std::string text;
  text.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ").append(authority);
  text.append("\r\n").append(more_headers);
  if (!body.empty() || method == "POST") {
    text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  text.append("\r\n").append(body);
  return text;
}

Response get(const Endpoint& endpoint, std::string_view target, milliseconds patience) {
  Connection connection(endpoint, patience);
  return connection.get(target);
}

}  // namespace appserver::integration
