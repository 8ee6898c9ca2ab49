// A build: the content of one plugin file, with a name for people and an identity for machines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace appserver::plugin {

struct Build {
  std::string sha256;    // of the file, in hex: the identity
  std::string build_id;  // GNU build-id in hex; may be empty
  std::string name;
  std::string version;
  std::string sdk;
  std::string abi;             // "1.0"
  std::filesystem::path file;  // the stored copy, absolute
  std::uint64_t size = 0;      // bytes
};

// One line for people: "hello 1.0.0 (c81f0e2, abi 1.0)", with the first digits of the SHA-256.
std::string describe(const Build& build);

}  // namespace appserver::plugin
