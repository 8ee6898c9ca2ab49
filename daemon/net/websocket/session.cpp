#include "net/websocket/session.hpp"

#include <limits>

#include "net/websocket/frame.hpp"
#include "net/websocket/utf8.hpp"

namespace appserver::net::websocket {

bool Session::append_message(std::string& out, bool is_text, std::string_view message,
                             TurnBudget* budget) {
  if (message.size() > max_message || (is_text && !is_utf8(message))) return false;
  const Opcode opcode = is_text ? Opcode::text : Opcode::binary;
  if (works_on(message)) {
    outbox.add(opcode, message, message.size() >= kLeastCompressed);
    if (budget != nullptr) append_waiting(out, *budget);
  } else {
    append(out, opcode, message);
  }
  return true;
}

bool may_close_with(std::uint32_t code, std::string_view reason) {
  return code <= std::numeric_limits<std::uint16_t>::max() &&
         is_sendable(static_cast<std::uint16_t>(code)) && reason.size() <= kMaxReason &&
         is_utf8(reason);
}

void Session::append_close(std::string& out, std::uint16_t code, std::string_view reason) {
  std::string payload;
  payload.push_back(static_cast<char>(code >> 8));
  payload.push_back(static_cast<char>(code & 0xff));
  payload.append(reason);
  if (outbox.empty()) {
    append(out, Opcode::close, payload);
  } else {
    outbox.add(Opcode::close, payload, false);
  }
}

}  // namespace appserver::net::websocket
