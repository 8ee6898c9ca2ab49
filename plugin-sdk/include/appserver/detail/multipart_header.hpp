// The headers of multipart/form-data: the boundary, and those of a part.
#pragma once

#include <appserver/detail/text.hpp>
#include <appserver/request.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::detail {

[[noreturn]] inline void bad_multipart(const std::string& why) {
  throw BadRequest("multipart/form-data: " + why);
}

struct HeaderParam {
  std::string_view name;
  std::string value;
};

// In quotes a backslash escapes a quote or itself; before another character it is one, since
// browsers send the file names of Windows as they are.
inline std::string take_quoted(std::string_view& left) {
  std::string value;
  for (std::size_t i = 1; i < left.size(); ++i) {
    const bool escapes =
        left[i] == '\\' && i + 1 < left.size() && (left[i + 1] == '"' || left[i + 1] == '\\');
    if (left[i] == '"') {
      left.remove_prefix(i + 1);
      return value;
    }
    if (escapes) ++i;
    value += left[i];
  }
  bad_multipart("a quoted parameter does not end");
}

// Takes the next of "; name=value; other=\"quoted\"" off `left`. nullopt at the end.
inline std::optional<HeaderParam> take_param(std::string_view& left) {
  left = trimmed(left);
  if (left.empty()) return std::nullopt;
  if (left.front() != ';') bad_multipart("a header's parameters are not separated by ';'");
  left = trimmed(left.substr(1));
  const std::size_t equals = left.find('=');
  if (equals == std::string_view::npos || !is_token(left.substr(0, equals)))
    bad_multipart("a header's parameter is not name=value");
  HeaderParam param{left.substr(0, equals), {}};
  left.remove_prefix(equals + 1);
  if (left.starts_with('"')) {
    param.value = take_quoted(left);
  } else {
    const std::string_view value = left.substr(0, left.find_first_of("; \t"));
    if (!is_token(value)) bad_multipart("a parameter that is no token stands without quotes");
    param.value = value;
    left.remove_prefix(value.size());
  }
  return param;
}

// Of RFC 2046 5.1.1: 1 to 70 characters of a small set, no space at the end.
inline bool is_boundary(std::string_view text) noexcept {
  constexpr std::string_view kMarks = "'()+_,-./:=? ";
  for (const char c : text) {
    const bool alphanumeric = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
    if (!alphanumeric && kMarks.find(c) == std::string_view::npos) return false;
  }
  return !text.empty() && text.size() <= 70 && text.back() != ' ';
}

inline std::string multipart_boundary(std::string_view type) {
  std::string_view left = type;
  const std::string_view media = trimmed(left.substr(0, left.find(';')));
  if (!equal_ignoring_case(media, "multipart/form-data"))
    throw BadRequest("expected a body of type multipart/form-data");
  left.remove_prefix(left.find(';') == std::string_view::npos ? left.size() : left.find(';'));
  std::optional<std::string> boundary;
  while (auto param = take_param(left)) {
    if (!equal_ignoring_case(param->name, "boundary")) continue;
    if (boundary) bad_multipart("two boundaries are given");
    boundary = std::move(param->value);
  }
  if (!boundary || !is_boundary(*boundary)) bad_multipart("no boundary, or a malformed one");
  return *std::move(boundary);
}

struct PartHeader {
  std::string name;
  std::optional<std::string> filename;
  std::string_view type = "text/plain";
};

inline void read_disposition(std::string_view value, PartHeader& header) {
  std::string_view left = value;
  const std::string_view kind = trimmed(left.substr(0, left.find(';')));
  if (!equal_ignoring_case(kind, "form-data")) bad_multipart("a part is not form-data");
  left.remove_prefix(left.find(';') == std::string_view::npos ? left.size() : left.find(';'));
  std::optional<std::string> name;
  while (auto param = take_param(left)) {
    if (equal_ignoring_case(param->name, "name")) {
      if (name) bad_multipart("a part has two names");
      name = std::move(param->value);
    } else if (equal_ignoring_case(param->name, "filename")) {
      if (header.filename) bad_multipart("a part has two file names");
      header.filename = std::move(param->value);
    } else if (equal_ignoring_case(param->name, "filename*")) {
      bad_multipart("RFC 7578 has no filename*: send the name as UTF-8");
    }
  }
  if (!name) bad_multipart("a part has no name");
  header.name = *std::move(name);
}

// Takes the headers of a part and the empty line behind them off `left`.
inline PartHeader read_part_header(std::string_view& left, std::size_t most) {
  PartHeader header;
  bool disposed = false;
  bool typed = false;
  for (std::size_t used = 0;;) {
    const std::size_t end = left.substr(0, most - used + 2).find("\r\n");
    if (end == std::string_view::npos)
      bad_multipart("a part's headers do not end within " + std::to_string(most) + " bytes");
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(end + 2);
    if (line.empty()) break;
    used += end + 2;
    if (used > most)
      bad_multipart("a part's headers do not end within " + std::to_string(most) + " bytes");
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
        !is_field_value(line))
      bad_multipart("a part has a malformed header");
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equal_ignoring_case(name, "Content-Disposition")) {
      if (std::exchange(disposed, true)) bad_multipart("a part has two dispositions");
      read_disposition(value, header);
    } else if (equal_ignoring_case(name, "Content-Type")) {
      if (std::exchange(typed, true)) bad_multipart("a part has two types");
      header.type = value;
    } else if (equal_ignoring_case(name, "Content-Transfer-Encoding") &&
               !equal_ignoring_case(value, "7bit") && !equal_ignoring_case(value, "8bit") &&
               !equal_ignoring_case(value, "binary")) {
      bad_multipart("a part is transfer-encoded, which RFC 7578 does not allow");
    }
  }
  if (!disposed) bad_multipart("a part has no Content-Disposition");
  return header;
}

}  // namespace appserver::detail
