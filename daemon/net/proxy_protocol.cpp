#include "net/proxy_protocol.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <boost/crc.hpp>
#include <charconv>
#include <cstdint>
#include <cstring>

#include "net/peer_name.hpp"

namespace appserver::net::proxy_protocol {
namespace {

using Kind = Header::Kind;

constexpr std::string_view kLineBegin = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};

Header malformed(std::string_view why) { return {Kind::malformed, 0, {}, why}; }

bool begins_as(std::string_view data, std::string_view expected) {
  const std::size_t size = std::min(data.size(), expected.size());
  return data.substr(0, size) == expected.substr(0, size);
}

// Up to the next space or the end, and off `line`; false where no space follows that should.
bool take_word(std::string_view& line, std::string_view& word, bool last = false) {
  const std::size_t space = line.find(' ');
  if ((space == std::string_view::npos) != last) return false;
  word = line.substr(0, space);
  line.remove_prefix(last ? line.size() : space + 1);
  return true;
}

bool read_port(std::string_view text, std::uint16_t& port) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc{} && rest == end;
}

std::string named(const in_addr& address, std::uint16_t port) {
  sockaddr_storage storage{};
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr = address;
  in.sin_port = htons(port);
  std::memcpy(&storage, &in, sizeof(in));
  return name_of(storage);
}

std::string named(const in6_addr& address, std::uint16_t port) {
  sockaddr_storage storage{};
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_addr = address;
  in.sin6_port = htons(port);
  std::memcpy(&storage, &in, sizeof(in));
  return name_of(storage);
}

// inet_pton(3) is as strict as the protocol: no leading zeros, no scope, no short forms.
template <class Address>
bool read_end(int family, std::string_view host, std::string_view port, std::string& name) {
  Address address{};
  std::uint16_t number = 0;
  if (!read_port(port, number)) return false;
  if (host.find('\0') != std::string_view::npos) return false;
  if (::inet_pton(family, std::string(host).c_str(), &address) != 1) return false;
  name = named(address, number);
  return true;
}

template <class Address>
bool read_line_ends(int family, std::string_view rest, Ends& ends) {
  std::string_view remote;
  std::string_view local;
  std::string_view remote_port;
  std::string_view local_port;
  if (!take_word(rest, remote) || !take_word(rest, local) || !take_word(rest, remote_port) ||
      !take_word(rest, local_port, true)) {
    return false;
  }
  return read_end<Address>(family, remote, remote_port, ends.remote) &&
         read_end<Address>(family, local, local_port, ends.local);
}

// Section 2.1; without its CRLF.
Header read_line(std::string_view line) {
  Header header{Kind::whole, line.size() + 2, {}, {}};
  line.remove_prefix(kLineBegin.size());
  constexpr std::string_view kUnknown = "UNKNOWN";
  if (line == kUnknown || (line.starts_with(kUnknown) && line[kUnknown.size()] == ' ')) {
    return header;
  }
  const bool v4 = line.starts_with("TCP4 ");
  if (!v4 && !line.starts_with("TCP6 ")) {
    return malformed("its header is for neither TCP4, TCP6 nor UNKNOWN");
  }
  line.remove_prefix(5);
  Ends& ends = header.ends.emplace();
  const bool good = v4 ? read_line_ends<in_addr>(AF_INET, line, ends)
                       : read_line_ends<in6_addr>(AF_INET6, line, ends);
  return good ? header : malformed("the addresses of its header are none");
}

Header find_line(std::string_view data) {
  if (!begins_as(data, kLineBegin)) return malformed("it does not begin with a PROXY header");
  const std::string_view within = data.substr(0, kLongestLine);
  const std::size_t end = within.find("\r\n");
  if (end != std::string_view::npos) return read_line(within.substr(0, end));
  if (within.size() == kLongestLine) return malformed("the line of its header has no end");
  return {};
}

std::uint8_t byte_at(std::string_view data, std::size_t at) {
  return static_cast<std::uint8_t>(data[at]);
}

std::uint16_t number_at(std::string_view data, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(data, at) << 8 | byte_at(data, at + 1));
}

// The CRC32c of RFC 4960, appendix B, over the header with this field zeroed; in network order.
bool has_checksum(std::string_view header, std::size_t at) {
  constexpr std::array<char, 4> kZeros{};
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(header.data(), at);
  crc.process_bytes(kZeros.data(), kZeros.size());
  const std::string_view behind = header.substr(at + kZeros.size());
  crc.process_bytes(behind.data(), behind.size());
  const std::uint32_t said =
      static_cast<std::uint32_t>(number_at(header, at)) << 16 | number_at(header, at + 2);
  return crc.checksum() == said;
}

// Those behind the addresses, to the header's end; empty: they are good.
std::string_view why_not_extensions(std::string_view header, std::size_t at) {
  constexpr std::size_t kExtensionHead = 3;
  constexpr std::uint8_t kChecksum = 0x03;
  std::size_t checksum = 0;
  while (at < header.size()) {
    if (header.size() - at < kExtensionHead) return "an extension of its header is cut short";
    const std::size_t length = number_at(header, at + 1);
    const std::size_t value = at + kExtensionHead;
    if (header.size() - value < length) return "an extension of its header is cut short";
    if (byte_at(header, at) == kChecksum) {
      if (length != 4 || checksum != 0) return "the checksum of its header is none";
      checksum = value;
    }
    at = value + length;
  }
  if (checksum != 0 && !has_checksum(header, checksum)) {
    return "the checksum of its header does not match";
  }
  return {};
}

template <class Address>
Ends binary_ends(std::string_view block) {
  std::array<Address, 2> addresses{};
  std::memcpy(addresses.data(), block.data(), sizeof(addresses));
  return {named(addresses[0], number_at(block, sizeof(addresses))),
          named(addresses[1], number_at(block, sizeof(addresses) + 2))};
}

constexpr std::uint8_t kUnspecified = 0;
constexpr std::uint8_t kInet = 1;
constexpr std::uint8_t kInet6 = 2;
constexpr std::uint8_t kUnix = 3;

// Bytes of the addresses, by the family.
constexpr std::array<std::size_t, 4> kAddressSizes = {0, 12, 36, 216};

Header read_block(std::string_view header, std::uint8_t family) {
  Header result{Kind::whole, header.size(), {}, {}};
  const std::size_t size = kAddressSizes[family];
  const std::string_view block = header.substr(kBinaryHead);
  if (block.size() < size) return malformed("the addresses of its header are cut short");
  if (const auto why = why_not_extensions(header, kBinaryHead + size); !why.empty()) {
    return malformed(why);
  }
  if (family == kInet) {
    result.ends = binary_ends<in_addr>(block);
  } else if (family == kInet6) {
    result.ends = binary_ends<in6_addr>(block);
  } else if (family == kUnix) {
    sockaddr_storage unix_end{};
    unix_end.ss_family = AF_UNIX;
    result.ends = Ends{name_of(unix_end), name_of(unix_end)};
  }
  return result;
}

// Section 2.2.
Header read_binary(std::string_view data) {
  constexpr std::uint8_t kVersion = 2;
  constexpr std::uint8_t kLocal = 0;
  constexpr std::uint8_t kProxy = 1;
  constexpr std::uint8_t kMostProtocol = 2;  // UNSPEC, STREAM, DGRAM
  if (!begins_as(data, kSignature)) return malformed("it does not begin with a PROXY header");
  if (data.size() <= 12) return {};
  const std::uint8_t command = byte_at(data, 12) & 0x0F;
  if (byte_at(data, 12) >> 4 != kVersion) return malformed("its header is of an unknown version");
  if (command > kProxy) return malformed("its header has an unknown command");
  if (data.size() <= 13) return {};
  const std::uint8_t family = byte_at(data, 13) >> 4;
  const std::uint8_t protocol = byte_at(data, 13) & 0x0F;
  if (command == kProxy && (family > kUnix || protocol > kMostProtocol)) {
    return malformed("its header has an unknown address family or protocol");
  }
  if (data.size() < kBinaryHead) return {};
  const std::size_t length = number_at(data, 14);
  if (length > kLongestBlock) return malformed("its header is over 4096 bytes");
  if (data.size() < kBinaryHead + length) return {};
  const std::string_view header = data.substr(0, kBinaryHead + length);
  // Of these the form of what follows is unknown, too: it is skipped.
  const bool unspecified = family == kUnspecified || protocol == kUnspecified;
  if (command == kLocal || unspecified) return {Kind::whole, header.size(), {}, {}};
  return read_block(header, family);
}

}  // namespace

Header read_header(std::string_view data) {
  if (data.empty()) return {};
  return data.front() == kSignature.front() ? read_binary(data) : find_line(data);
}

bool seems_to_begin(std::string_view data) {
  return data.starts_with("PROXY ") || data.starts_with(kSignature);
}

}  // namespace appserver::net::proxy_protocol
