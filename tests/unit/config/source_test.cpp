#include "config/source.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

TEST_CASE("valid UTF-8 is told from everything else") {
  CHECK_FALSE(first_non_utf8("plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x98\x80"));
  CHECK(first_non_utf8("ab\xff") == 2);
  CHECK(first_non_utf8("\xc0\xaf") == 0);          // overlong
  CHECK(first_non_utf8("\xe0\x80\x80") == 0);      // overlong
  CHECK(first_non_utf8("\xed\xa0\x80") == 0);      // surrogate
  CHECK(first_non_utf8("\xf4\x90\x80\x80") == 0);  // beyond U+10FFFF
  CHECK(first_non_utf8("a\xe2\x82") == 1);         // cut short
}

TEST_CASE("a file that is absent, a folder, a FIFO or a device is a problem, at once") {
  const TemporaryFolder folder;
  CHECK(folder.problems_of("absent.yaml") ==
        Lines{"absent.yaml: cannot be opened: No such file or directory"});
  std::filesystem::create_directory(folder.path() / "dir.yaml");
  CHECK(folder.problems_of("dir.yaml") == Lines{"dir.yaml: a directory, not a configuration file"});
  REQUIRE(::mkfifo((folder.path() / "fifo.yaml").c_str(), 0600) == 0);
  CHECK(folder.problems_of("fifo.yaml") == Lines{"fifo.yaml: a FIFO, not a configuration file"});
  std::filesystem::create_symlink("/dev/zero", folder.path() / "zero.yaml");
  CHECK(folder.problems_of("zero.yaml") == Lines{"zero.yaml: a device, not a configuration file"});
}

TEST_CASE("a file that may not be read is a problem") {
  const TemporaryFolder folder;
  const auto file = folder.write("secret.yaml", "groups: {a: {plugin: p}}");
  REQUIRE(::chmod(file.c_str(), 0) == 0);
  REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::seteuid(65534) == 0);
  const Lines problems = folder.problems_of("secret.yaml");
  if (root) REQUIRE(::seteuid(0) == 0);
  CHECK(problems == Lines{"secret.yaml: cannot be opened: Permission denied"});
}

TEST_CASE("a file of more than 1 MiB is refused") {
  const TemporaryFolder folder;
  const std::string limit(std::size_t{1} << 20, '#');
  folder.write("fits.yaml", limit);
  CHECK(folder.problems_of("fits.yaml").at(0).find("no groups") != std::string::npos);
  folder.write("big.yaml", limit + "#");
  CHECK(folder.problems_of("big.yaml") ==
        Lines{"big.yaml: larger than 1 MiB; a configuration file is smaller"});
  CHECK(problems_of(limit + "#") ==
        Lines{"app.yaml: larger than 1 MiB; a configuration file is smaller"});
}

TEST_CASE("what is no text is refused with the place of its first such byte") {
  CHECK(problems_of("a: b\nc: \xff\n") ==
        Lines{"app.yaml:2:4: not UTF-8 text; save the file as UTF-8"});
  CHECK(problems_of(std::string("a: b\n\0", 6)) ==
        Lines{"app.yaml:2:1: control byte 0x00: this is not a text file"});
  CHECK(problems_of("a\x04:") == Lines{"app.yaml:1:2: control byte 0x04: this is not a text file"});
  CHECK(problems_of("\x7f"
                    "ELF\x02\x01\x01")
            .size() == 1);
  CHECK(problems_of("\xff\xfeg\0").size() == 1);  // UTF-16
}
