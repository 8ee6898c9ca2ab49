// Content types by the ending of a file's name.
#pragma once

#include <appserver/detail/text.hpp>
#include <array>
#include <string_view>

namespace appserver::detail {

struct MediaType {
  std::string_view extension;
  std::string_view type;
};

inline constexpr std::array kMediaTypes{
    MediaType{"avif", "image/avif"},
    MediaType{"css", "text/css; charset=utf-8"},
    MediaType{"csv", "text/csv; charset=utf-8"},
    MediaType{"gif", "image/gif"},
    MediaType{"gz", "application/gzip"},
    MediaType{"htm", "text/html; charset=utf-8"},
    MediaType{"html", "text/html; charset=utf-8"},
    MediaType{"ico", "image/x-icon"},
    MediaType{"jpeg", "image/jpeg"},
    MediaType{"jpg", "image/jpeg"},
    MediaType{"js", "text/javascript; charset=utf-8"},
    MediaType{"json", "application/json"},
    MediaType{"map", "application/json"},
    MediaType{"md", "text/markdown; charset=utf-8"},
    MediaType{"mjs", "text/javascript; charset=utf-8"},
    MediaType{"mp3", "audio/mpeg"},
    MediaType{"mp4", "video/mp4"},
    MediaType{"ogg", "audio/ogg"},
    MediaType{"otf", "font/otf"},
    MediaType{"pdf", "application/pdf"},
    MediaType{"png", "image/png"},
    MediaType{"svg", "image/svg+xml"},
    MediaType{"ttf", "font/ttf"},
    MediaType{"txt", "text/plain; charset=utf-8"},
    MediaType{"wasm", "application/wasm"},
    MediaType{"webm", "video/webm"},
    MediaType{"webmanifest", "application/manifest+json"},
    MediaType{"webp", "image/webp"},
    MediaType{"woff", "font/woff"},
    MediaType{"woff2", "font/woff2"},
    MediaType{"xml", "application/xml"},
    MediaType{"zip", "application/zip"},
};

// Of "css", in any case. "application/octet-stream" for one that is not known.
constexpr std::string_view media_type(std::string_view extension) noexcept {
  for (const MediaType& known : kMediaTypes) {
    if (equal_ignoring_case(known.extension, extension)) return known.type;
  }
  return "application/octet-stream";
}

}  // namespace appserver::detail
