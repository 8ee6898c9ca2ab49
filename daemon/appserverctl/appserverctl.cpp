#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "appserverctl/run.hpp"

int main(int argc, char** argv) {
  const appserver::appserverctl::Console console{
      std::cout, std::cerr, [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        if (value == nullptr) return std::nullopt;
        return value;
      }};
  return appserver::appserverctl::run(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), console);
}
