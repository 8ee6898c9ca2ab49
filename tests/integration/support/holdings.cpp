#include "support/holdings.hpp"

#include <catch2/catch.hpp>

#include "support/eventually.hpp"

namespace appserver::integration {

Holdings holdings_of(const Daemon& daemon, const Site& site) {
  // The status has been answered, and its connection closed, before anything is counted.
  std::size_t workers = 0;
  const auto only_workers_are_left = [&](const Status& status) {
    workers = status.group("api").workers.size();
    return status.all_ready() && children_of(daemon.pid()).size() == workers;
  };
  Holdings result;
  // A worker that is due may be replaced after the status, and its successor be there by then.
  eventually("the control connections are closed, and no worker is being replaced", 60s, [&] {
    daemon.wait_for_status("all old workers are gone", only_workers_are_left);
    const auto before = census_of(daemon.pid()).fds;
    pause_briefly(50);
    result.census = census_of(daemon.pid());
    return result.census.fds == before && result.census.children == workers;
  });
  result.files = files_under(site.root());
  result.descriptors = descriptors_of(daemon.pid());
  return result;
}

void require_no_growth(const Holdings& before, const Holdings& after) {
  INFO("before: " << before.census.text() << ", " << before.files << " files\n"
                  << before.descriptors);
  INFO("after: " << after.census.text() << ", " << after.files << " files\n" << after.descriptors);
  REQUIRE(after.census.fds == before.census.fds);
  REQUIRE(after.census.children == before.census.children);
  REQUIRE(after.census.zombies == 0);
  REQUIRE(after.census.threads == before.census.threads);
  REQUIRE(after.files <= before.files);
  REQUIRE(after.census.resident_bytes < before.census.resident_bytes + kMemorySlack);
}

}  // namespace appserver::integration
