#include "net/http/response_writer.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "net/http/fields.hpp"
#include "net/http/grammar.hpp"

namespace appserver::net::http {

namespace {

bool is_reserved(std::string_view name) {
  // Lengths first: almost no header of an answer is compared byte by byte.
  switch (name.size()) {
    case 2:
      return equals_ignoring_case(name, "te");
    case 4:
      return equals_ignoring_case(name, "date");
    case 7:
      return equals_ignoring_case(name, "upgrade") || equals_ignoring_case(name, "trailer");
    case 10:
      return equals_ignoring_case(name, "connection") || equals_ignoring_case(name, "keep-alive");
    case 14:
      return equals_ignoring_case(name, "content-length");
    case 17:
      return equals_ignoring_case(name, "transfer-encoding");
    default:
      return false;
  }
}

bool is_readable(const appserver_str& text) { return text.size == 0 || text.data != nullptr; }

bool is_valid(const appserver_header& header) {
  if (!is_readable(header.name) || !is_readable(header.value)) return false;
  const auto name = to_view(header.name);
  if (!is_token(name) || is_reserved(name)) return false;
  const auto value = to_view(header.value);
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

void append_number(std::string& out, std::uint64_t value, int base = 10) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

void append_status_line(std::string& out, unsigned status) {
  if (status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  out.append("HTTP/1.1 ");
  append_number(out, status);
  out.push_back(' ');
  out.append(reason_phrase(status));
  out.append("\r\n");
}

void append_connection(std::string& out, unsigned version, bool keep_alive) {
  if (!keep_alive) {
    out.append("Connection: close\r\n");
  } else if (version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
}

void append_header(std::string& out, std::string_view name, std::string_view value,
                   std::string_view before = {}, std::string_view after = {}) {
  out.append(name);
  out.append(": ");
  out.append(before);
  out.append(value);
  out.append(after);
  out.append("\r\n");
}

bool is_identity(std::string_view name, std::string_view value) {
  return name.size() == 16 && equals_ignoring_case(name, "content-encoding") &&
         equals_ignoring_case(trim(value), "identity");
}

void append_headers(std::string& out, const appserver_http_response& response) {
  for (std::uint32_t i = 0; i < response.header_count; ++i) {
    const auto& header = header_at(response, i);
    const auto name = to_view(header.name);
    const auto value = to_view(header.value);
    if (!is_identity(name, value)) append_header(out, name, value);
  }
}

// Whether the plugin's own Vary says so, in any of its lines.
bool tells_to_vary(const appserver_http_response& response) {
  for (std::uint32_t i = 0; i < response.header_count; ++i) {
    const auto& header = header_at(response, i);
    if (!equals_ignoring_case(to_view(header.name), "vary")) continue;
    auto list = to_view(header.value);
    while (const auto element = next_list_element(list)) {
      if (*element == "*" || equals_ignoring_case(*element, "accept-encoding")) return true;
    }
  }
  return false;
}

void append_coded_headers(std::string& out, const appserver_http_response& response,
                          const Coding& coding) {
  bool varies = tells_to_vary(response);
  for (std::uint32_t i = 0; i < response.header_count; ++i) {
    const auto& header = header_at(response, i);
    const auto name = to_view(header.name);
    const auto value = to_view(header.value);
    if (!varies && equals_ignoring_case(name, "vary") && !trim(value).empty()) {
      append_header(out, name, value, {}, ", Accept-Encoding");
      varies = true;
    } else if (coding.weak && equals_ignoring_case(name, "etag") && value.starts_with('"')) {
      append_header(out, name, value, "W/");
    } else if (!(coding.gzip && equals_ignoring_case(name, "accept-ranges")) &&
               !is_identity(name, value)) {
      append_header(out, name, value);
    }
  }
  if (!varies) out.append("Vary: Accept-Encoding\r\n");
  if (coding.gzip) out.append("Content-Encoding: gzip\r\n");
}

void append_content_length(std::string& out, std::uint64_t length) {
  out.append("Content-Length: ");
  append_number(out, length);
  out.append("\r\n");
}

// 204 and 304 end with their head by definition and carry no length here; 205 has a length of zero
// (RFC 9110 15.3.6).
bool has_length(unsigned status) { return status != 204 && status != 304; }
bool has_body(unsigned status) { return has_length(status) && status != 205; }

void append_head(std::string& out, const DateCache& date, const appserver_http_response& response,
                 const Coding& coding) {
  append_status_line(out, response.status);
  out.append(date.line());
  if (coding.varies) {
    append_coded_headers(out, response, coding);
  } else {
    append_headers(out, response);
  }
}

void put_two_digits(char* at, unsigned value) {
  at[0] = static_cast<char>('0' + value / 10);
  at[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void DateCache::refresh(std::chrono::system_clock::time_point now) {
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  if (second == second_) return;
  second_ = second;

  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(second - day);
  const auto weekday = std::chrono::weekday(day).c_encoding();
  const auto month = static_cast<unsigned>(date.month()) - 1;
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));

  std::memcpy(line_.data(), "Date: Sun, 00 Jan 0000 00:00:00 GMT\r\n", line_.size());
  std::memcpy(&line_[6], &"SunMonTueWedThuFriSat"[weekday * 3], 3);
  put_two_digits(&line_[11], static_cast<unsigned>(date.day()));
  std::memcpy(&line_[14], &"JanFebMarAprMayJunJulAugSepOctNovDec"[month * 3], 3);
  put_two_digits(&line_[18], year / 100 % 100);
  put_two_digits(&line_[20], year % 100);
  put_two_digits(&line_[23], static_cast<unsigned>(time.hours().count()));
  put_two_digits(&line_[26], static_cast<unsigned>(time.minutes().count()));
  put_two_digits(&line_[29], static_cast<unsigned>(time.seconds().count()));
}

std::int32_t validate(const appserver_http_response& response) {
  if (!APPSERVER_HAS(appserver_http_response, &response, body)) return APPSERVER_INVALID;
  if (response.status < 200 || response.status > 599) return APPSERVER_INVALID;
  if (!is_readable(response.body)) return APPSERVER_INVALID;
  if (response.header_count == 0) return APPSERVER_OK;
  if (response.headers == nullptr || response.header_stride < sizeof(appserver_header) ||
      response.header_stride % alignof(appserver_header) != 0) {
    return APPSERVER_INVALID;
  }
  for (std::uint32_t i = 0; i < response.header_count; ++i) {
    if (!is_valid(header_at(response, i))) return APPSERVER_INVALID;
  }
  return APPSERVER_OK;
}

void write_response(std::string& out, const DateCache& date,
                    const appserver_http_response& response, const AnswerTo& request,
                    const Coding& coding) {
  append_head(out, date, response, coding);
  const auto body = has_body(response.status) ? to_view(response.body) : std::string_view();
  const bool unknown = coding.gzip && request.head_method;
  if (has_length(response.status) && !unknown) append_content_length(out, body.size());
  append_connection(out, request.version, request.keep_alive);
  out.append("\r\n");
  if (!request.head_method) out.append(body);
}

BodyMode write_stream_head(std::string& out, const DateCache& date,
                           const appserver_http_response& response, std::int64_t content_length,
                           const AnswerTo& request, const Coding& coding) {
  append_head(out, date, response, coding);
  auto mode = BodyMode::none;
  if (!has_body(response.status)) {
    if (has_length(response.status)) append_content_length(out, 0);
  } else if (content_length >= 0) {
    append_content_length(out, static_cast<std::uint64_t>(content_length));
    mode = BodyMode::sized;
  } else if (request.version >= 11) {
    out.append("Transfer-Encoding: chunked\r\n");
    mode = BodyMode::chunked;
  } else {
    mode = BodyMode::until_close;
  }
  if (request.head_method) mode = BodyMode::none;
  append_connection(out, request.version, request.keep_alive && mode != BodyMode::until_close);
  out.append("\r\n");
  return mode;
}

void append_chunk(std::string& out, std::string_view piece) {
  if (piece.empty()) return;
  append_number(out, piece.size(), 16);
  out.append("\r\n");
  out.append(piece);
  out.append("\r\n");
}

void append_last_chunk(std::string& out) { out.append("0\r\n\r\n"); }

void write_error(std::string& out, const DateCache& date, unsigned status, std::string_view reason,
                 const AnswerTo& request) {
  append_status_line(out, status);
  out.append(date.line());
  const auto phrase = reason_phrase(status);
  const std::string_view separator = reason.empty() ? "" : ": ";
  out.append("Content-Type: text/plain; charset=utf-8\r\n");
  append_content_length(out, 4 + phrase.size() + separator.size() + reason.size() + 1);
  append_connection(out, request.version, request.keep_alive);
  out.append("\r\n");
  if (request.head_method) return;
  append_number(out, status);
  out.push_back(' ');
  out.append(phrase);
  out.append(separator);
  out.append(reason);
  out.push_back('\n');
}

}  // namespace appserver::net::http
