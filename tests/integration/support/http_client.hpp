// A strict HTTP/1.1 client that tells apart every way in which a request can fail.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"
#include "support/deadline.hpp"
#include "support/endpoint.hpp"

namespace appserver::integration {

enum class Outcome {
  ok,         // a whole, well-formed answer; its status may be any
  refused,    // nobody listens
  reset,      // ECONNRESET or EPIPE
  eof,        // closed before the first byte of an answer
  cut_short,  // closed within an answer
  timeout,
  malformed,  // bytes that are no HTTP/1.x answer, or more than the answer
  failed,     // another error of a system call
};
std::string_view name_of(Outcome outcome);

struct Response {
  Outcome outcome = Outcome::failed;
  std::string detail;  // what happened, where the outcome is not ok
  int status = 0;
  int version = 0;  // 10 or 11
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  bool ok() const { return outcome == Outcome::ok && status == 200; }
  // The value of a header, its name in any case; empty without one.
  std::string header(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  std::string text() const;  // on one line, for messages
};

// One connection. Not for use by two threads.
class Connection {
 public:
  // A deadline for each step: connect, send, and a whole answer.
  explicit Connection(Endpoint endpoint, milliseconds patience = 10s);

  Outcome connect();
  bool connected() const { return static_cast<bool>(socket_); }
  void close();

  // All bytes, connecting first if need be.
  Outcome send(std::string_view bytes);
  // One answer. `to_head`: it has no body whatever its headers say. Interim answers (1xx) are given
  // as answers.
  Response receive(bool to_head = false);

  // Both, with the headers that a request needs. A body is sent with its length.
  Response get(std::string_view target);
  Response post(std::string_view target, std::string_view body);
  Response raw(std::string_view request);  // bytes as they are, then one answer

  // True once the server has closed, with nothing more to read.
  bool closed_by_server(Deadline deadline);
  void shut_down_sending();
  void set_patience(milliseconds patience) { patience_ = patience; }

  const Endpoint& endpoint() const { return endpoint_; }
  std::size_t connects() const { return connects_; }
  std::string local_address() const;
  const std::string& unread() const { return unread_; }

 private:
  Outcome wait_for(short events, const Deadline& deadline);
  Outcome read_more(const Deadline& deadline);
  std::optional<Response> read_until(std::size_t size, const Deadline& deadline);
  void read_body(Response& response, bool to_head, const Deadline& deadline);
  void read_sized_body(Response& response, std::size_t size, const Deadline& deadline);
  void read_chunked_body(Response& response, const Deadline& deadline);
  void read_body_to_end(Response& response, const Deadline& deadline);
  std::optional<std::string> take_line(Response& response, const Deadline& deadline);
  Response fail(Outcome outcome, std::string detail);

  Endpoint endpoint_;
  milliseconds patience_;
  os::Fd socket_;
  std::string unread_;
  std::size_t connects_ = 0;
  int last_error_ = 0;
};

// The text of a request with Host and, for a body, Content-Length.
std::string request_text(std::string_view method, std::string_view target,
                         std::string_view authority, std::string_view body = {},
                         std::string_view more_headers = {});

// On a connection of its own, which is closed after it.
Response get(const Endpoint& endpoint, std::string_view target, milliseconds patience = 10s);

}  // namespace appserver::integration
