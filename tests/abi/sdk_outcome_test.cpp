#include <appserver/outcome.hpp>
#include <catch2/catch.hpp>
#include <memory>
#include <stdexcept>
#include <string>

using appserver::Outcome;
using appserver::outcome_of;

TEST_CASE("an outcome is what the work gave") {
  auto outcome = outcome_of([] { return std::make_unique<int>(7); });
  REQUIRE(outcome.ok());
  CHECK(*outcome.value() == 7);
  CHECK(outcome.error() == nullptr);
  const std::unique_ptr<int> moved = std::move(outcome).value();
  CHECK(*moved == 7);
}

TEST_CASE("an outcome is the exception that left the work") {
  auto outcome = outcome_of([]() -> std::string { throw std::runtime_error("no disk"); });
  CHECK_FALSE(outcome.ok());
  CHECK_THROWS_WITH(outcome.value(), "no disk");
  CHECK_THROWS_WITH(std::move(outcome).value(), "no disk");
}

TEST_CASE("an outcome of work that gives nothing says whether it went well") {
  CHECK_NOTHROW(outcome_of([] {}).value());
  const auto failed = outcome_of([] { throw std::runtime_error("no disk"); });
  CHECK_FALSE(failed);
  CHECK_THROWS_WITH(failed.value(), "no disk");
}
