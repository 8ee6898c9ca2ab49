// Values as people read them, and foreign text made harmless for a terminal. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace appserver::appserverctl {

// "999", "5213", "12.4k", "12.4M"
std::string human_count(std::uint64_t count);

// "512B", "1.5K", "141M", "1.1G"; in powers of 1024
std::string human_bytes(std::uint64_t bytes);

// "8s", "4m12s", "3h07m", "3d02h"
std::string human_duration(std::chrono::seconds duration);

// "0.4s", "21.4s", and from a minute on as a human_duration
std::string human_span(std::chrono::milliseconds span);

// "+0.31s"
std::string since_start(std::chrono::milliseconds elapsed);

// On one line, with everything that is not printable as \n, \t or \xNN: control characters (C0,
// DEL, C1), marks that turn the direction of text, and bytes that are not UTF-8.
std::string escaped(std::string_view text);

// The same, but the line breaks stay, and lines after the first are indented.
std::string escaped_text(std::string_view text);

// The number of characters (code points) in UTF-8 text.
std::size_t width(std::string_view text);

}  // namespace appserver::appserverctl
