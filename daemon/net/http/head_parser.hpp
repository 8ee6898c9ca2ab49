// Reads a whole request head into views, without allocating.
#pragma once

#include <appserver/abi/http.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "net/http/limits.hpp"

namespace appserver::net::http {

// How the end of a request's body is told.
enum class Framing { none, content_length, chunked };

// A checked head. The views point into the parsed bytes (Target in grammar.hpp has the one
// exception).
struct Head {
  unsigned version = 11;  // 10 or 11
  std::string_view method;
  std::string_view target;
  std::string_view path;
  std::string_view query;
  Framing framing = Framing::none;
  std::uint64_t content_length = 0;
  bool keep_alive = false;
  bool expects_continue = false;
};

// Parses and checks `bytes`, one head that HeadScanner found complete. The header fields replace
// what is in `headers`, whose capacity is kept. The refusal, or nullopt when `head` and `headers`
// are filled.
//
// Beast's grammar under rules of our own, because Beast 1.81 takes a Transfer-Encoding it does not
// know for "no body" and does not look at Host, the target, folded lines or repeated lengths.
// Whatever leaves the end of the message in doubt is refused, never repaired.
std::optional<Refusal> parse_head(std::string_view bytes, const RequestLimits& limits, Head& head,
                                  std::vector<appserver_header>& headers);

}  // namespace appserver::net::http
