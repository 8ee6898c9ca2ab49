#include "plugin/demangle.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace appserver::plugin {
namespace {

constexpr std::size_t kLongest = 1024;
constexpr std::size_t kMaxReferences = 24;

// Each reference to an earlier part of the name ("S_", "T0_") repeats that part with all it
// repeats itself: with r of them the text can become 3^(r/3) times as long. This counts some that
// are none, in identifiers.
std::size_t references(const std::string& symbol) {
  std::size_t count = 0;
  for (std::size_t i = 0; i + 1 < symbol.size(); ++i) {
    if (symbol[i] != 'S' && symbol[i] != 'T') continue;
    const char next = symbol[i + 1];
    const bool is_sequence_id =
        next == '_' || (next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z');
    if (is_sequence_id) ++count;
  }
  return count;
}

}  // namespace

std::string demangled(const std::string& symbol) {
  // Without the prefix of a function or object, __cxa_demangle takes the text for a type: "i" for
  // "int".
  if (!symbol.starts_with("_Z")) return symbol;
  if (symbol.size() > kLongest || references(symbol) > kMaxReferences) return symbol;
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  int status = 0;
  const std::unique_ptr<char, Free> name(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status));
  return status == 0 && name ? std::string(name.get()) : symbol;
}

}  // namespace appserver::plugin
