#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "appserverctl/run.hpp"
#include "appserverctl/signals.hpp"
#include "appserverctl/terminal.hpp"

namespace {

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace appserver::appserverctl;
  const Console console{.out = std::cout,
                        .err = std::cerr,
                        .environment = environment,
                        .terminal = is_terminal(STDOUT_FILENO, environment),
                        .columns = columns_of(STDOUT_FILENO, environment),
                        .farewell = catch_signals,
                        .in = &std::cin};
  return run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), console);
}
