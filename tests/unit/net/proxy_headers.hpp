// Headers of the PROXY protocol's version 2, made by hand.
#pragma once

#include <boost/crc.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace appserver::test {

inline constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};

// With the block's true length.
inline std::string binary(std::uint8_t version_and_command, std::uint8_t family_and_protocol,
                          std::string_view block) {
  std::string header(kSignature);
  header += static_cast<char>(version_and_command);
  header += static_cast<char>(family_and_protocol);
  header += static_cast<char>(block.size() >> 8);
  header += static_cast<char>(block.size() & 0xFF);
  return header.append(block);
}

inline std::string extension(std::uint8_t type, std::string_view value) {
  std::string bytes(1, static_cast<char>(type));
  bytes += static_cast<char>(value.size() >> 8);
  bytes += static_cast<char>(value.size() & 0xFF);
  return bytes.append(value);
}

// Its one extension 3 of four zeros filled in.
inline std::string with_checksum(std::string header) {
  const std::size_t at = header.find(std::string("\x03\0\x04\0\0\0\0", 7)) + 3;
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(header.data(), header.size());
  const std::uint32_t sum = crc.checksum();
  for (std::size_t i = 0; i < 4; ++i) header[at + i] = static_cast<char>(sum >> (24 - 8 * i));
  return header;
}

}  // namespace appserver::test
