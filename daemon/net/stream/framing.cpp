#include "net/stream/framing.hpp"

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <limits>

namespace appserver::net::stream {
namespace {

constexpr std::size_t kLengthSize = 4;

Cut cut_line(std::string_view data, std::size_t max_message, std::size_t seen) {
  // A CR before the LF is no part of the message.
  const std::size_t longest = max_message + 1;
  const std::size_t end = data.find('\n', seen);
  if (end == std::string_view::npos) {
    return {data.size() > longest ? Cut::Kind::too_long : Cut::Kind::incomplete, 0, {}};
  }
  std::string_view line = data.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > max_message) return {Cut::Kind::too_long, 0, {}};
  return {Cut::Kind::message, end + 1, line};
}

Cut cut_frame(std::string_view data, std::size_t max_message) {
  if (data.size() < kLengthSize) return {};
  const std::size_t size =
      boost::endian::load_big_u32(reinterpret_cast<const unsigned char*>(data.data()));
  if (size < kLengthSize) return {Cut::Kind::malformed, 0, {}};
  if (size - kLengthSize > max_message) return {Cut::Kind::too_long, 0, {}};
  if (data.size() < size) return {};
  return {Cut::Kind::message, size, data.substr(kLengthSize, size - kLengthSize)};
}

}  // namespace

Cut cut(Framing framing, std::string_view data, std::size_t max_message, std::size_t seen) {
  switch (framing) {
    case Framing::text:
      return cut_line(data, max_message, seen);
    case Framing::frame:
      return cut_frame(data, max_message);
    case Framing::raw:
      break;
  }
  // A message of nothing would be cut for ever.
  const std::string_view message = data.substr(0, std::max<std::size_t>(max_message, 1));
  return {Cut::Kind::message, message.size(), message};
}

bool can_append(Framing framing, std::string_view message, std::size_t max_message) {
  if (message.size() > max_message) return false;
  switch (framing) {
    case Framing::text:
      // A CR at its end would be taken off as part of the line's end.
      return message.find('\n') == std::string_view::npos && !message.ends_with('\r');
    case Framing::frame:
      return message.size() <= std::numeric_limits<std::uint32_t>::max() - kLengthSize;
    case Framing::raw:
      break;
  }
  return true;
}

void append(std::string& out, Framing framing, std::string_view message) {
  if (framing == Framing::frame) {
    unsigned char length[kLengthSize];
    boost::endian::store_big_u32(length, static_cast<std::uint32_t>(message.size() + kLengthSize));
    out.append(reinterpret_cast<const char*>(length), kLengthSize);
  }
  out.append(message);
  if (framing == Framing::text) out.push_back('\n');
}

}  // namespace appserver::net::stream
