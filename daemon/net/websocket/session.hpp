// What a connection has besides its socket once it is a WebSocket (RFC 6455, sections 5 to 7).
// Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "net/websocket/deflate.hpp"
#include "net/websocket/message_reader.hpp"
#include "net/websocket/outbox.hpp"

namespace appserver::net::websocket {

// Messages shorter than this are not compressed: it would cost more than it saves.
inline constexpr std::size_t kLeastCompressed = 256;
// Of a close frame's reason, in bytes.
inline constexpr std::size_t kMaxReason = 123;

struct Session {
  // `shared` is null where no compression was agreed on; it outlives this.
  Session(std::size_t most, Deflate* shared, std::string chosen, std::chrono::milliseconds now,
          Side own = Side::server)
      : reader(most, shared, own == Side::server ? Side::client : Side::server),
        side(own),
        deflate(shared),
        max_message(most),
        subprotocol(std::move(chosen)),
        heard_at(now),
        message_at(now) {}

  // To send it takes work, or waits for some.
  bool works_on(std::string_view message) const {
    return !outbox.empty() || (deflate != nullptr && message.size() >= kLeastCompressed);
  }
  // False, and nothing is sent, where it may not be: too long, or a text that is none. What the
  // turn has no time to compress waits in `outbox`, and what comes next waits behind it. `budget`
  // null: there is none.
  bool append_message(std::string& out, bool is_text, std::string_view message, TurnBudget* budget);
  void append_waiting(std::string& out, TurnBudget& budget) {
    outbox.run(out, deflate, budget, side);
  }

  void append(std::string& out, Opcode opcode, std::string_view payload) const {
    append_frame(out, opcode, payload, false, side);
  }
  // Behind all messages; with a code and a reason that may_close_with().
  void append_close(std::string& out, std::uint16_t code, std::string_view reason);

  bool is_inflating() const { return reader.is_inflating(); }

  MessageReader reader;
  Outbox outbox;
  Side side;
  Deflate* deflate;
  std::size_t max_message;
  std::string subprotocol;
  // The newest ping that waits for the peer to take what was sent before; its pong is owed.
  std::string ping{};
  bool owes_pong = false;
  bool pinged = false;  // and nothing has come since
  bool close_sent = false;
  bool close_received = false;
  std::uint16_t peer_code = 0;  // of its close frame; 0: none
  std::chrono::milliseconds heard_at;
  std::chrono::milliseconds message_at;  // the last one in either direction
  std::chrono::milliseconds pinged_at{0};
};

// A code that an endpoint may send, and a reason that fits and is UTF-8.
bool may_close_with(std::uint32_t code, std::string_view reason);

}  // namespace appserver::net::websocket
