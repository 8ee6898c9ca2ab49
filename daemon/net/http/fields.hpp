// The header fields of requests and answers in the form of the ABI.
#pragma once

#include <appserver/abi/http.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace appserver::net::http {

inline std::string_view to_view(const appserver_str& text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}

// Elements may be larger than our appserver_header when a plugin was built with a
// newer SDK.
template <class Message>
const appserver_header& header_at(const Message& message, std::uint32_t index) {
  const auto* bytes = reinterpret_cast<const char*>(message.headers);
  return *reinterpret_cast<const appserver_header*>(bytes +
                                                    std::size_t{index} * message.header_stride);
}

}  // namespace appserver::net::http
