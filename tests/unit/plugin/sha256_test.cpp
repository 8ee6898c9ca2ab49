#include "plugin/sha256.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include "files.hpp"
#include "os/fd.hpp"

using namespace appserver;

TEST_CASE("the hash is SHA-256 of the whole file, wherever the file position is") {
  const plugin::test::Folder folder;
  const auto hash_of = [&](std::string_view content) {
    return plugin::sha256(
        os::open_file(plugin::test::write(folder / "file", content), O_RDONLY).get());
  };
  // FIPS 180-2, appendix B.1 and B.3.
  CHECK(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash_of(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const auto file = os::open_file(plugin::test::write(folder / "file", "abc"), O_RDONLY);
  char skipped[2];
  REQUIRE(::read(file.get(), skipped, sizeof(skipped)) == 2);
  CHECK(plugin::sha256(file.get()) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
