// Failed system calls as exceptions that say what was tried on what.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace appserver::os {

// what() is "open("/x/y"): Permission denied". code() keeps the errno.
class SystemError : public std::system_error {
 public:
  SystemError(int error, const std::string& what_was_tried)
      : std::system_error(error, std::generic_category(), what_was_tried) {}
};

[[noreturn]] void throw_system_error(int error, const std::string& what_was_tried);

// Returns `result` unless it is negative; then throws with errno and the formatted text.
template <typename Result, typename... Args>
Result check(Result result, fmt::format_string<Args...> format, Args&&... args) {
  if (result < 0) {
    const int error = errno;
    throw_system_error(error, fmt::format(format, std::forward<Args>(args)...));
  }
  return result;
}

// The call again for as long as a signal interrupts it.
template <typename Call>
auto retry_on_interrupt(Call&& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace appserver::os
