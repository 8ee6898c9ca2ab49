// The certificate and the key of a group, in a folder that goes with it.
#pragma once

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "certificate_maker.hpp"
#include "config/config.hpp"

namespace appserver::supervisor::test {

namespace fs = std::filesystem;

class Files {
 public:
  Files() {
    std::string name = (fs::temp_directory_path() / "tls_files_test.XXXXXX").native();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    put("a", authority.issue({{"localhost"}}));
    tls.certificates = {{folder_ / "a.pem", folder_ / "a.key"}};
  }
  ~Files() { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    fs::permissions(folder_ / name, fs::perms::owner_read | fs::perms::owner_write);
  }
  void put(const std::string& name, const appserver::test::Made& made) const {
    write(name + ".pem", made.chain);
    write(name + ".key", made.key);
  }
  fs::path path(const std::string& name) const { return folder_ / name; }

  const appserver::test::Authority authority;
  config::Tls tls;

 private:
  fs::path folder_;
};

}  // namespace appserver::supervisor::test
