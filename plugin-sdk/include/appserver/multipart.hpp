// Forms with files: multipart/form-data (RFC 7578).
#pragma once

#include <appserver/detail/multipart_header.hpp>
#include <appserver/http.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver {

// A field of the form, or a file. `content` and `content_type` are views into the request: they die
// with it.
struct Part {
  std::string name;
  std::optional<std::string> filename;  // what the client calls it: never a path to be opened
  std::string_view content_type;        // "text/plain" unless given
  std::string_view content;
};

struct MultipartLimits {
  std::size_t parts = 256;
  std::size_t header_bytes = 8192;  // of one part
};

// The parts of a request's body, in the order sent. Reads strictly, RFC 7578 over RFC 2046 without
// preamble: what is malformed, over a limit or not multipart/form-data at all throws BadRequest.
// Nothing but names is copied.
class Multipart {
 public:
  explicit Multipart(const Request& request, const MultipartLimits& limits = {})
      : Multipart(request.header("Content-Type", {}), request.body(), limits) {}

  // Of a Content-Type and a body that outlives this.
  Multipart(std::string_view type, std::string_view body, const MultipartLimits& limits = {})
      : limits_(limits) {
    read(body, "\r\n--" + detail::multipart_boundary(type));
  }

  const std::vector<Part>& parts() const noexcept { return parts_; }
  auto begin() const noexcept { return parts_.begin(); }
  auto end() const noexcept { return parts_.end(); }

  // The first of that name; null for none. Lives as long as this.
  const Part* find(std::string_view name) const noexcept {
    for (const Part& part : parts_) {
      if (part.name == name) return &part;
    }
    return nullptr;
  }

  // The content of the first part of that name that is no file.
  std::optional<std::string_view> field(std::string_view name) const noexcept {
    for (const Part& part : parts_) {
      if (part.name == name && !part.filename) return part.content;
    }
    return std::nullopt;
  }

 private:
  // `delimiter` is CRLF, two hyphens and the boundary; the first one has no CRLF before it.
  void read(std::string_view body, const std::string& delimiter) {
    std::string_view left = body;
    const std::string_view first = std::string_view(delimiter).substr(2);
    if (!left.starts_with(first))
      detail::bad_multipart("the body does not begin with the boundary");
    left.remove_prefix(first.size());
    while (!take_end(left)) {
      if (parts_.size() == limits_.parts)
        detail::bad_multipart("more than " + std::to_string(limits_.parts) + " parts");
      parts_.push_back(read_part(left, delimiter));
    }
  }

  // What follows a delimiter: CRLF before a part, or the end.
  static bool take_end(std::string_view& left) {
    if (left.starts_with("\r\n")) {
      left.remove_prefix(2);
      return false;
    }
    if (left == "--" || left == "--\r\n") return true;
    detail::bad_multipart(left.starts_with("--") ? "there is more behind the end"
                                                 : "a boundary is neither begin nor end of a part");
  }

  Part read_part(std::string_view& left, const std::string& delimiter) const {
    const detail::PartHeader header = detail::read_part_header(left, limits_.header_bytes);
    const std::size_t end = left.find(delimiter);
    if (end == std::string_view::npos) detail::bad_multipart("a part does not end");
    Part part{header.name, header.filename, header.type, left.substr(0, end)};
    left.remove_prefix(end + delimiter.size());
    return part;
  }

  MultipartLimits limits_;
  std::vector<Part> parts_;
};

}  // namespace appserver
