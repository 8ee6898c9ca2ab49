// Files for the tests of this room: the built fixture plugins, and a folder that goes with the
// test.
#pragma once

#include <stdlib.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace appserver::plugin::test {

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "appserver-plugin-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::filesystem::path fixture(std::string_view name) {
  return std::filesystem::path(APPSERVER_FIXTURES) / (std::string(name) + ".so");
}

inline std::string read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file.native());
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::filesystem::path write(const std::filesystem::path& file, std::string_view content) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream << content << std::flush;
  if (!stream) throw std::runtime_error("cannot write " + file.native());
  return file;
}

inline std::span<const std::byte> bytes(std::string_view content) {
  return std::as_bytes(std::span(content));
}

}  // namespace appserver::plugin::test
