#include "net/websocket/frame.hpp"

#include <openssl/rand.h>

#include <boost/endian/conversion.hpp>
#include <cstring>
#include <stdexcept>

namespace appserver::net::websocket {
namespace {

constexpr unsigned kFin = 0x80;
constexpr unsigned kCompressed = 0x40;
constexpr unsigned kReserved = 0x30;
constexpr unsigned kOpcode = 0x0f;
constexpr unsigned kMasked = 0x80;
constexpr unsigned kLength = 0x7f;
constexpr unsigned kTwoBytes = 126;
constexpr unsigned kEightBytes = 127;
constexpr std::size_t kMaskSize = 4;

const unsigned char* bytes(std::string_view data) {
  return reinterpret_cast<const unsigned char*>(data.data());
}

bool is_known(unsigned opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

// How many bytes the length takes beside the seven bits.
std::size_t extra_length(unsigned seven_bits) {
  if (seven_bits == kTwoBytes) return 2;
  return seven_bits == kEightBytes ? 8 : 0;
}

// False where a shorter form would have done, or the sign bit is set.
bool read_length(const unsigned char* at, std::size_t extra, unsigned seven_bits,
                 std::uint64_t& length) {
  length = seven_bits;
  if (extra == 2) {
    length = boost::endian::load_big_u16(at);
    return length >= kTwoBytes;
  }
  if (extra == 8) {
    length = boost::endian::load_big_u64(at);
    return length > 0xffff && length >> 63U == 0;
  }
  return true;
}

}  // namespace

HeadResult parse_head(std::string_view data, FrameHead& head, std::size_t& size, Side sender) {
  if (data.empty()) return HeadResult::incomplete;
  const unsigned first = bytes(data)[0];
  if ((first & kReserved) != 0 || !is_known(first & kOpcode)) return HeadResult::malformed;
  head.fin = (first & kFin) != 0;
  head.compressed = (first & kCompressed) != 0;
  head.opcode = static_cast<Opcode>(first & kOpcode);
  if (is_control(head.opcode) && (!head.fin || head.compressed)) return HeadResult::malformed;
  if (data.size() < 2) return HeadResult::incomplete;
  const unsigned second = bytes(data)[1];
  const unsigned seven_bits = second & kLength;
  const bool masked = (second & kMasked) != 0;
  if (masked != (sender == Side::client)) return HeadResult::malformed;
  if (is_control(head.opcode) && seven_bits >= kTwoBytes) return HeadResult::malformed;
  const std::size_t extra = extra_length(seven_bits);
  size = 2 + extra + (masked ? kMaskSize : 0);
  if (data.size() < 2 + extra) return HeadResult::incomplete;
  if (!read_length(bytes(data) + 2, extra, seven_bits, head.length)) return HeadResult::malformed;
  if (data.size() < size) return HeadResult::incomplete;
  head.mask = {};
  if (masked) std::memcpy(head.mask.data(), data.data() + 2 + extra, kMaskSize);
  return HeadResult::whole;
}

void unmask(std::span<char> payload, const std::array<unsigned char, 4>& mask) {
  std::uint64_t wide = 0;
  std::array<unsigned char, 8> twice{};
  for (std::size_t i = 0; i < twice.size(); ++i) twice[i] = mask[i % kMaskSize];
  std::memcpy(&wide, twice.data(), sizeof(wide));
  std::size_t at = 0;
  for (; at + sizeof(wide) <= payload.size(); at += sizeof(wide)) {
    std::uint64_t word = 0;
    std::memcpy(&word, payload.data() + at, sizeof(word));
    word ^= wide;
    std::memcpy(payload.data() + at, &word, sizeof(word));
  }
  for (; at < payload.size(); ++at) {
    payload[at] = static_cast<char>(static_cast<unsigned char>(payload[at]) ^ mask[at % kMaskSize]);
  }
}

void append_frame(std::string& out, Opcode opcode, std::string_view payload, bool compressed,
                  Side sender) {
  std::array<unsigned char, 10> head{};
  std::size_t size = 2;
  head[0] = static_cast<unsigned char>(kFin | (compressed ? kCompressed : 0U) |
                                       static_cast<unsigned>(opcode));
  if (payload.size() < kTwoBytes) {
    head[1] = static_cast<unsigned char>(payload.size());
  } else if (payload.size() <= 0xffff) {
    head[1] = kTwoBytes;
    boost::endian::store_big_u16(head.data() + 2, static_cast<std::uint16_t>(payload.size()));
    size += 2;
  } else {
    head[1] = kEightBytes;
    boost::endian::store_big_u64(head.data() + 2, payload.size());
    size += 8;
  }
  if (sender == Side::client) head[1] |= kMasked;
  out.append(reinterpret_cast<const char*>(head.data()), size);
  if (sender == Side::server) {
    out.append(payload);
    return;
  }
  std::array<unsigned char, kMaskSize> mask{};
  if (RAND_bytes(mask.data(), static_cast<int>(mask.size())) != 1)
    throw std::runtime_error("OpenSSL: no randomness for a WebSocket's mask");
  out.append(reinterpret_cast<const char*>(mask.data()), mask.size());
  const std::size_t begin = out.size();
  out.append(payload);
  unmask(std::span<char>(out).subspan(begin), mask);
}

}  // namespace appserver::net::websocket
