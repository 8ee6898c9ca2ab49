// Which answers are compressed, and for whom (RFC 9110, 8.4, 12.5.3 and 12.5.5). Pure.
#pragma once

#include <appserver/abi/http.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::net::http {

struct Compression {
  bool enabled = false;
  // "type/subtype", lower case; one '*' in the subtype stands for any text.
  std::vector<std::string> types;
  std::uint64_t min_size = 1024;  // of a body whose length is known
  int level = 6;                  // 1 (fast) to 9
};

// Whether a client takes gzip at least as gladly as the answer as it is: its Accept-Encoding names
// gzip, x-gzip or "*" with a quality above 0 that is not below that of identity. Without the field
// no: such clients seldom decompress.
bool accepts_gzip(const appserver_http_request& request);

// What becomes of an answer's head.
struct Coding {
  bool gzip = false;    // Content-Encoding: gzip; no Accept-Ranges, of the bytes as they were
  bool varies = false;  // Vary: Accept-Encoding
  bool weak = false;    // a strong ETag becomes weak: the bytes are not those that it was made for
};

// Of an answer that validate() found OK. `length`: of its body, nullopt where it is not known yet.
// `accepts`: accepts_gzip() of its request.
//
// Left alone is what the plugin has coded (or excepted by "Content-Encoding: identity"), a part
// (206), what says no-transform, carries a digest of its bytes, is shorter than min_size, or of
// another type. Of 206 and 304 the head alone is as that of the whole answer (RFC 9110, 15.3.7 and
// 15.4.5).
Coding choose_coding(const Compression& rules, const appserver_http_response& response,
                     std::optional<std::uint64_t> length, bool accepts);

}  // namespace appserver::net::http
