// Whether this build is watched by a sanitizer: its processes are slow and large, and it owns the
// signals of a crash.
#pragma once

namespace appserver::integration {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace appserver::integration
