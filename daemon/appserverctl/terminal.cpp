#include "appserverctl/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include "config/values.hpp"

namespace appserver::appserverctl {

namespace {

constexpr std::size_t kUsual = 80;
constexpr std::int64_t kLeast = 20;
constexpr std::int64_t kMost = 10'000;

}  // namespace

bool is_terminal(int fd, const Environment& environment) {
  const std::string term = environment("TERM").value_or("");
  return ::isatty(fd) == 1 && !term.empty() && term != "dumb";
}

std::size_t columns_of(int fd, const Environment& environment) {
  const auto told = config::IntegerRule{kLeast, kMost}.parse(environment("COLUMNS").value_or(""));
  if (told) return static_cast<std::size_t>(*told);
  ::winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= kLeast) return size.ws_col;
  return kUsual;
}

}  // namespace appserver::appserverctl
