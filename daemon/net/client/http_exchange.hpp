// One request and its answer over a connection (RFC 9112).
#pragma once

#include <string_view>

#include "net/client/transport.hpp"

namespace appserver::net::client {

struct Answer {
  HttpResponse response{};
  bool keep_alive = false;  // the connection is fit for another request
  // Instead of an answer: the connection ended before its first byte, with `why`.
  bool unanswered = false;
  std::string why{};
};

// Who may want the body of an answer in pieces.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual bool may_want() const = 0;
  // Whether it does; asked for each answer but interim ones, when its head has come.
  virtual bool begins(const HttpResponse& head) = 0;
  // More is read once it is through.
  virtual Work<> take(std::string_view piece) = 0;
};

// `head` and `body` stay until it is through; `is_head`: no body follows, whatever the answer says.
// What `sink` takes is no part of the answer's body, and not bounded by `max_body`. Throws
// CallError.
Work<Answer> exchange(Transport& transport, std::string_view head, std::string_view body,
                      bool is_head, std::size_t max_body, AnswerSink& sink);

}  // namespace appserver::net::client
