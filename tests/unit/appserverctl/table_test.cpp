#include "appserverctl/table.hpp"

#include <catch2/catch.hpp>

using namespace appserver::appserverctl;

TEST_CASE("columns are aligned, numbers to the right, with nothing trailing") {
  REQUIRE(print_table({{"NAME"}, {"N", true}, {"LAST"}},
                      {{"a", "1", "x"}, {"longer", "1000", ""}, {"b"}}) ==
          "NAME       N  LAST\n"
          "a          1  x\n"
          "longer  1000  -\n"
          "b          -  -\n");
}

TEST_CASE("cells are escaped, and characters are counted rather than bytes") {
  REQUIRE(print_table({{"A"}, {"B"}}, {{"ü", "x"}, {"\x1b", "y\nz"}}) ==
          "A     B\n"
          "ü     x\n"
          "\\x1b  y\\nz\n");
}

TEST_CASE("a table without rows is nothing") { REQUIRE(print_table({{"A"}}, {}).empty()); }
