// Text of unknown origin as UTF-8 (RFC 3629) that is safe to print and to put into JSON.
#pragma once

#include <string>
#include <string_view>

namespace appserver::os {

// Whether a byte is inside a character, not its first.
bool is_continuation(char byte);

enum class Control { keep, escape };

// Well-formed UTF-8 from anything. Stray bytes become "\xNN"; so do control characters unless they
// are kept.
std::string clean(std::string_view text, Control control);

}  // namespace appserver::os
