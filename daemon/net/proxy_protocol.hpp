// The header with which a proxy begins a connection that it forwards, so that the server behind it
// knows whose it is: the PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "net/ends.hpp"

namespace appserver::net::proxy_protocol {

// A line of version 1 with its CRLF.
inline constexpr std::size_t kLongestLine = 107;
// Before what version 2 says by its length.
inline constexpr std::size_t kBinaryHead = 16;
// Of what follows then, addresses and extensions (TLVs): the protocol's 64 KiB are far more than
// any proxy sends, and each connection may bring as much before it is known to be anybody's.
inline constexpr std::size_t kLongestBlock = 4096;
inline constexpr std::size_t kLongest = kBinaryHead + kLongestBlock;

struct Header {
  enum class Kind { incomplete, whole, malformed };

  Kind kind = Kind::incomplete;
  std::size_t size = 0;  // of a whole one: bytes; the protocol that it precedes begins behind them
  // Of a whole one: whose connection it is, as net/peer_name.hpp has it; nullopt where that is the
  // peer's own (LOCAL, UNKNOWN, unspecified).
  std::optional<Ends> ends{};
  std::string_view why{};  // of one that is malformed; lives for ever
};

// Looks at what has come of a connection from its first byte on. `incomplete` is said of less than
// kLongest bytes, each of which belongs to the header; no other answer changes by what comes
// behind.
Header read_header(std::string_view data);

// Whether a connection that begins with these bytes, kSigns of them if so many have come, seems to
// begin with a header, good or not.
inline constexpr std::size_t kSigns = 12;
bool seems_to_begin(std::string_view data);

}  // namespace appserver::net::proxy_protocol
