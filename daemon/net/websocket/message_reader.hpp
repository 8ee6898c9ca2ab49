// What a WebSocket's peer has sent, message by message (RFC 6455, sections 5 to 8). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/websocket/deflate.hpp"
#include "net/websocket/frame.hpp"
#include "net/websocket/utf8.hpp"

namespace appserver::net::websocket {

// Close codes of RFC 6455, section 7.4.1.
inline constexpr std::uint16_t kNormal = 1000;
inline constexpr std::uint16_t kGoingAway = 1001;
inline constexpr std::uint16_t kProtocolError = 1002;
inline constexpr std::uint16_t kNoStatus = 1005;  // never sent
inline constexpr std::uint16_t kAbnormal = 1006;  // never sent
inline constexpr std::uint16_t kInvalidPayload = 1007;
inline constexpr std::uint16_t kTooBig = 1009;
inline constexpr std::uint16_t kInternalError = 1011;

// Whether an endpoint may send it in a close frame.
bool is_sendable(std::uint16_t code);

struct Event {
  enum class Kind {
    incomplete,  // more bytes are needed
    fragment,    // of a message that goes on
    unfinished,  // a message has come whole and is inflated in part: go_on()
    message,
    ping,
    pong,
    close,   // the peer's; its code, kNoStatus where it gave none
    failed,  // what came is against the protocol or a limit: `code` is to be sent
  };
  Kind kind = Kind::incomplete;
  std::size_t size = 0;  // bytes of the data that it took
  bool is_text = false;
  std::uint16_t code = 0;
  // Of a message, a ping or a pong; the reason of a close; why it failed. Valid until forget(), and
  // as long as the data.
  std::string_view text;
};

// One a connection.
class MessageReader final {
 public:
  // `deflate` is null where no compression was agreed on; it outlives this.
  MessageReader(std::size_t max_message, Deflate* deflate, Side sender = Side::client)
      : max_message_(max_message), deflate_(deflate), sender_(sender) {}

  static constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

  // The first frame of `data`, which is unmasked in place, where it was masked. After incomplete:
  // the same bytes, with more behind them. Of a compressed message about `most` bytes are inflated;
  // not while is_inflating().
  Event next(std::span<char> data, std::size_t most = kAll);

  // A message was inflated in part. It takes no more data, and about `most` bytes more come of it
  // with each call.
  bool is_inflating() const { return inflater_ != nullptr; }
  Event go_on(std::size_t most = kAll);
  // The last call has had work with compression.
  bool has_inflated() const { return has_inflated_; }

  // Frees what the last message needed: a connection at rest holds no buffer.
  void forget() { std::string().swap(whole_); }

  // No message is under way: the connection may move to another worker.
  bool at_boundary() const { return !in_message_ && !is_inflating(); }

 private:
  // Of a frame that has not come whole, so that what is no text is refused at once (RFC 6455,
  // section 8.1). False: whatever comes, it is none.
  bool may_become_text(const FrameHead& head, std::span<const char> part);
  Event control(const FrameHead& head, std::string_view payload) const;
  Event close(std::string_view payload) const;
  Event data_frame(const FrameHead& head, std::string_view payload, std::size_t most);
  Event whole_message(std::string_view payload, std::size_t most);
  Event inflate(std::string_view payload, std::size_t most);
  bool fits(const FrameHead& head) const;

  std::size_t max_message_;
  Deflate* deflate_;
  Side sender_;
  std::string fragments_;
  std::unique_ptr<Inflater> inflater_;  // while a message is inflated
  std::string packed_;                  // its payload
  std::string whole_;
  Utf8Checker utf8_;
  std::size_t checked_ = 0;  // bytes of the payload at hand that utf8_ has seen before it is whole
  bool in_message_ = false;
  bool is_text_ = false;
  bool compressed_ = false;
  bool has_inflated_ = false;
};

}  // namespace appserver::net::websocket
