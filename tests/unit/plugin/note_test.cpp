#include "plugin/note.hpp"

#include <appserver/abi.h>
#include <appserver/abi/note.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "plugin/bad_plugin.hpp"

using namespace appserver;

namespace {

appserver_note_body make_note() {
  return {APPSERVER_NOTE_MAGIC,
          sizeof(appserver_note_body),
          APPSERVER_ABI_MAJOR,
          APPSERVER_ABI_MINOR,
          0,
          "0.1.0",
          "hello",
          "1.2.3"};
}

std::string refusal(std::span<const std::byte> body) {
  try {
    plugin::read_note(body, 0);
  } catch (const plugin::BadPlugin& error) {
    return error.what();
  }
  return "";
}

std::string refusal(const appserver_note_body& note) {
  return refusal(std::as_bytes(std::span(&note, 1)));
}

}  // namespace

TEST_CASE("a note gives the plugin's name, version, SDK and ABI") {
  const auto body = make_note();
  const auto note = plugin::read_note(std::as_bytes(std::span(&body, 1)), 0);
  CHECK(note.name == "hello");
  CHECK(note.version == "1.2.3");
  CHECK(note.sdk == "0.1.0");
  CHECK(note.abi_major == APPSERVER_ABI_MAJOR);
  CHECK(note.abi_minor == APPSERVER_ABI_MINOR);
}

TEST_CASE("a longer note, of a later SDK of the same ABI, is read") {
  struct {
    appserver_note_body known = make_note();
    std::uint64_t later = 7;
  } body;
  body.known.size = sizeof(body);
  REQUIRE(refusal(std::as_bytes(std::span(&body, 1))).empty());
}

TEST_CASE("a corrupt note is refused with what is wrong in it") {
  auto note = make_note();
  const auto corrupt = [](const std::string& what) {
    return "its .note.appserver note is corrupt: " + what + "; build it again";
  };
  SECTION("magic") {
    note.magic = 0;
    CHECK(refusal(note) == corrupt("it has the wrong magic number"));
  }
  SECTION("size beyond the note") {
    note.size = sizeof(note) + 1;
    CHECK(refusal(note) == corrupt("its size is wrong"));
  }
  SECTION("size too small") {
    note.size = sizeof(note) - 1;
    CHECK(refusal(note) == corrupt("its size is wrong"));
  }
  SECTION("a name without end") {
    std::memset(note.name, 'x', sizeof(note.name));
    CHECK(refusal(note) == corrupt("its name has no end"));
  }
  SECTION("an empty name") {
    note.name[0] = '\0';
    CHECK(refusal(note) == corrupt("its name is empty or not plain text"));
  }
  SECTION("a version that would break a log line") {
    note.version[1] = '\n';
    CHECK(refusal(note) == corrupt("its version is empty or not plain text"));
  }
}

TEST_CASE("a note cut to any length is refused") {
  const auto note = make_note();
  const auto* first = reinterpret_cast<const std::byte*>(&note);
  for (std::size_t size = 0; size < sizeof(note); ++size) {
    const std::vector<std::byte> cut(first, first + size);
    INFO("cut to " << size);
    REQUIRE_FALSE(refusal(cut).empty());
  }
}

TEST_CASE("a name that is no plain file name is refused") {
  const auto* name = GENERATE("../hello", ".hello", "-hello", "a/b", "a\"b");
  auto note = make_note();
  std::strcpy(note.name, name);
  REQUIRE(refusal(note) == std::string("the plugin's name \"") + name +
                               "\" may hold only letters, digits, '.', '_' and '-', and begin with "
                               "a letter, a digit or '_'; rename it");
}

TEST_CASE("another ABI is refused by its number even if the rest of its note has another layout") {
  auto note = make_note();
  note.abi_major = 7;
  note.abi_minor = 3;
  note.size = 16;
  std::memset(note.name, 0xff, sizeof(note.name));
  REQUIRE(
      refusal(std::as_bytes(std::span(&note, 1)).first(16)) ==
      "built for ABI 7.3, this appserverd has ABI 1.1; build it with the SDK of this appserverd");
}
