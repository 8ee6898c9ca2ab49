#include "config/suggest.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <string>

using namespace appserver::config;

namespace {

constexpr std::array<std::string_view, 4> kKeys = {"count", "listen", "reload", "settings"};

}  // namespace

TEST_CASE("a swap of neighbours, an insertion, a removal and a replacement are one edit each") {
  CHECK(edit_distance("count", "count") == 0);
  CHECK(edit_distance("cuont", "count") == 1);
  CHECK(edit_distance("counts", "count") == 1);
  CHECK(edit_distance("cont", "count") == 1);
  CHECK(edit_distance("coynt", "count") == 1);
  CHECK(edit_distance("", "count") == 5);
}

TEST_CASE("the nearest word is suggested") {
  CHECK(nearest("cuont", kKeys) == "count");
  CHECK(nearest("setings", kKeys) == "settings");
  CHECK(nearest("Listen", kKeys) == "listen");
  CHECK(nearest("listens", kKeys) == "listen");
}

TEST_CASE("a word that goes on differently is not taken for its beginning alone") {
  constexpr std::array<std::string_view, 4> kSchemes = {"text", "text+tls", "frame", "frame+tls"};
  CHECK(nearest("text+ssl", kSchemes) == "text+tls");
  CHECK(nearest("frame+ssl", kSchemes) == "frame+tls");
  CHECK(nearest("texts", kSchemes) == "text");
  CHECK(nearest("fra", kSchemes) == "frame");
}

TEST_CASE("a word that is near nothing is answered with what is known") {
  CHECK_FALSE(nearest("frobnicate", kKeys));
  CHECK_FALSE(nearest("", kKeys));
  CHECK_FALSE(nearest(std::string(100'000, 'x'), kKeys));
  CHECK(suggestion("frobnicate", kKeys) == "; known are count, listen, reload and settings");
  CHECK(suggestion("cuont", kKeys) == "; did you mean 'count'?");
}
