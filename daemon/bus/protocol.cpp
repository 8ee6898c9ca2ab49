#include "bus/protocol.hpp"

#include <cstring>

namespace appserver::bus {
namespace {

std::optional<Message> decode(std::string_view packet) {
  Message message;
  if (packet.size() < sizeof(Header) || packet.size() > kMaxPacket) return std::nullopt;
  std::memcpy(&message.header, packet.data(), sizeof(Header));
  packet.remove_prefix(sizeof(Header));
  const std::size_t name = message.header.name_size;
  if (name > kMaxName || name > packet.size() || message.header.reserved != 0) return std::nullopt;
  message.name = packet.substr(0, name);
  message.value = packet.substr(name);
  if (message.value.size() > kMaxValue) return std::nullopt;
  return message;
}

}  // namespace

std::optional<Message> decode_request(std::string_view packet) {
  const auto message = decode(packet);
  if (!message || message->name.empty()) return std::nullopt;
  const Header& header = message->header;
  if (header.kind < Kind::subscribe || header.kind > Kind::erase) return std::nullopt;
  const bool takes_value = header.kind == Kind::publish || header.kind == Kind::set;
  if (!takes_value && !message->value.empty()) return std::nullopt;
  const auto last =
      header.kind == Kind::set ? static_cast<std::uint8_t>(Condition::version) : std::uint8_t{0};
  if (header.detail > last) return std::nullopt;
  return message;
}

std::optional<Message> decode_reply(std::string_view packet) {
  const auto message = decode(packet);
  if (!message) return std::nullopt;
  const Header& header = message->header;
  if (header.kind == Kind::deliver && header.detail == 0 && !message->name.empty()) return message;
  if (header.kind == Kind::result && message->name.empty() &&
      header.detail <= static_cast<std::uint8_t>(Status::not_a_number))
    return message;
  return std::nullopt;
}

std::string encode(Header header, std::string_view name, std::string_view value) {
  header.name_size = static_cast<std::uint16_t>(name.size());
  std::string packet(sizeof(Header), '\0');
  std::memcpy(packet.data(), &header, sizeof(Header));
  packet.append(name).append(value);
  return packet;
}

}  // namespace appserver::bus
