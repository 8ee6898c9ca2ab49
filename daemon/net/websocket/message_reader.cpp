#include "net/websocket/message_reader.hpp"

#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <utility>

namespace appserver::net::websocket {
namespace {

using Kind = Event::Kind;

// A message that deflate cannot shorten grows by this at most, for each 16 KiB.
constexpr std::size_t kDeflateGrowth = 64;

Event failed(std::uint16_t code, std::string_view why) {
  return {Kind::failed, 0, false, code, why};
}

}  // namespace

bool is_sendable(std::uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return (code >= 1000 && code <= 1014) && code != 1004 && code != kNoStatus && code != kAbnormal;
}

// Before any of it is kept.
bool MessageReader::fits(const FrameHead& head) const {
  const std::size_t before = in_message_ ? fragments_.size() : 0;
  const std::size_t most =
      compressed_ || head.compressed
          ? max_message_ + max_message_ / (16 * 1024) * kDeflateGrowth + kDeflateGrowth
          : max_message_;
  return head.length <= most && before <= most - static_cast<std::size_t>(head.length);
}

Event MessageReader::next(std::span<char> data, std::size_t most) {
  has_inflated_ = false;
  FrameHead head;
  std::size_t head_size = 0;
  switch (parse_head({data.data(), data.size()}, head, head_size, sender_)) {
    case HeadResult::incomplete:
      return {};
    case HeadResult::malformed:
      return failed(kProtocolError, "a frame is malformed");
    case HeadResult::whole:
      break;
  }
  const bool control_frame = is_control(head.opcode);
  if (!control_frame) {
    const bool continues = head.opcode == Opcode::continuation;
    if (continues != in_message_) {
      return failed(kProtocolError, continues ? "a fragment continues nothing"
                                              : "a message begins within another one");
    }
    if (head.compressed && (deflate_ == nullptr || continues))
      return failed(kProtocolError, "a frame is compressed where it may not be");
    if (!fits(head)) return failed(kTooBig, "a message over limits.max_message");
  }
  if (data.size() - head_size < head.length) {
    if (!control_frame && !may_become_text(head, data.subspan(head_size)))
      return failed(kInvalidPayload, "a text that is not UTF-8");
    return {};
  }
  const auto payload = data.subspan(head_size, static_cast<std::size_t>(head.length));
  if (sender_ == Side::client) unmask(payload, head.mask);
  const std::string_view text(payload.data(), payload.size());
  Event event = control_frame ? control(head, text) : data_frame(head, text, most);
  event.size = head_size + payload.size();
  return event;
}

bool MessageReader::may_become_text(const FrameHead& head, std::span<const char> part) {
  const bool is_text = in_message_ ? is_text_ : head.opcode == Opcode::text;
  const bool compressed = in_message_ ? compressed_ : head.compressed;
  if (!is_text || compressed) return true;
  if (!in_message_ && checked_ == 0) utf8_.reset();
  std::array<char, 1024> piece;
  while (checked_ < part.size()) {
    const std::size_t size = std::min(piece.size(), part.size() - checked_);
    for (std::size_t i = 0; i < size; ++i) {
      const auto masked = static_cast<unsigned char>(part[checked_ + i]);
      piece[i] = static_cast<char>(masked ^ head.mask[(checked_ + i) % head.mask.size()]);
    }
    if (!utf8_.add({piece.data(), size})) return false;
    checked_ += size;
  }
  return true;
}

Event MessageReader::control(const FrameHead& head, std::string_view payload) const {
  if (head.opcode == Opcode::close) return close(payload);
  return {head.opcode == Opcode::ping ? Kind::ping : Kind::pong, 0, false, 0, payload};
}

Event MessageReader::close(std::string_view payload) const {
  if (payload.empty()) return {Kind::close, 0, false, kNoStatus, {}};
  if (payload.size() < 2) return failed(kProtocolError, "a close frame with half a code");
  const std::uint16_t code =
      boost::endian::load_big_u16(reinterpret_cast<const unsigned char*>(payload.data()));
  payload.remove_prefix(2);
  if (!is_sendable(code)) return failed(kProtocolError, "a close code that may not be sent");
  if (!is_utf8(payload)) return failed(kInvalidPayload, "a close reason that is not UTF-8");
  return {Kind::close, 0, false, code, payload};
}

Event MessageReader::data_frame(const FrameHead& head, std::string_view payload, std::size_t most) {
  if (!in_message_) {
    is_text_ = head.opcode == Opcode::text;
    compressed_ = head.compressed;
    if (checked_ == 0) utf8_.reset();
  }
  const std::size_t checked = std::exchange(checked_, 0);
  // Compressed bytes say nothing of the text yet.
  if (is_text_ && !compressed_ && !utf8_.add(payload.substr(checked)))
    return failed(kInvalidPayload, "a text that is not UTF-8");
  if (!head.fin) {
    in_message_ = true;
    fragments_.append(payload);
    return {Kind::fragment, 0, is_text_, 0, {}};
  }
  if (!std::exchange(in_message_, false)) {
    std::string().swap(fragments_);
    return whole_message(payload, most);
  }
  fragments_.append(payload);
  packed_ = std::exchange(fragments_, {});
  if (compressed_) return whole_message(packed_, most);
  whole_ = std::exchange(packed_, {});
  return whole_message(whole_, most);
}

Event MessageReader::whole_message(std::string_view payload, std::size_t most) {
  if (!compressed_) {
    if (is_text_ && !utf8_.is_whole())
      return failed(kInvalidPayload, "a text that ends within a character");
    return {Kind::message, 0, is_text_, 0, payload};
  }
  inflater_ = deflate_->lend_inflater();
  whole_.clear();
  utf8_.reset();
  const Event event = inflate(payload, most);
  // What is taken of the data goes away.
  if (event.kind == Kind::unfinished && packed_.empty()) packed_ = payload;
  return event;
}

Event MessageReader::go_on(std::size_t most) { return inflate(packed_, most); }

Event MessageReader::inflate(std::string_view payload, std::size_t most) {
  has_inflated_ = true;
  const std::size_t before = whole_.size();
  const Inflater::Result result = inflater_->run(payload, max_message_, most, whole_);
  const bool is_bad_text = is_text_ && result != Inflater::Result::malformed &&
                           result != Inflater::Result::too_long &&
                           !utf8_.add(std::string_view(whole_).substr(before));
  if (result == Inflater::Result::unfinished && !is_bad_text)
    return {Kind::unfinished, 0, is_text_, 0, {}};
  deflate_->give_back(std::move(inflater_));
  std::string().swap(packed_);
  if (result == Inflater::Result::malformed)
    return failed(kInvalidPayload, "a compressed message that cannot be decompressed");
  if (result == Inflater::Result::too_long)
    return failed(kTooBig, "a message over limits.max_message");
  if (is_bad_text || (is_text_ && !utf8_.is_whole()))
    return failed(kInvalidPayload, "a text that is not UTF-8");
  return {Kind::message, 0, is_text_, 0, whole_};
}

}  // namespace appserver::net::websocket
