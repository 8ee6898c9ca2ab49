// The guestbook in the daemon: what was answered is in the book, once, whatever is reloaded.
#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/scratch_dir.hpp"

using namespace appserver::integration;

namespace {

std::string guestbook(const ScratchDir& scratch) {
  return "groups:\n  api: {plugin: guestbook, count: 2, listen: 'http://127.0.0.1:0', settings: "
         "{page: 200, database: '" +
         (scratch.path() / "book.db").string() + "'}}\n";
}

Response sign(Connection& connection, const std::string& text) {
  const std::string body = "name=guest&text=" + text;
  return connection.raw(
      "POST /entries HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n"
      "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
}

// All texts in the book, page by page.
std::vector<std::string> texts(const Endpoint& endpoint) {
  std::vector<std::string> all;
  std::string before;
  for (;;) {
    const auto page = get(endpoint, "/entries" + before);
    REQUIRE(page.ok());
    const auto json = boost::json::parse(page.body);
    const auto& entries = json.at("entries").as_array();
    if (entries.empty()) return all;
    for (const auto& entry : entries)
      all.push_back(boost::json::value_to<std::string>(entry.at("text")));
    before = "?before=" + std::to_string(entries.back().at("id").as_int64());
  }
}

}  // namespace

TEST_CASE("entries that are written during reloads are all in the book, and once") {
  constexpr std::size_t kGuests = 6;
  const ScratchDir scratch;
  Site site(guestbook(scratch));
  site.install(shipped_plugin("guestbook"), "guestbook");
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> written{0};
  std::vector<std::vector<std::string>> answered(kGuests);
  std::vector<std::string> problems(kGuests);
  std::vector<std::thread> guests;
  for (std::size_t guest = 0; guest < kGuests; ++guest) {
    guests.emplace_back([&, guest] {
      Connection connection(endpoint, 30s);
      for (int i = 0; !stopping && problems[guest].empty(); ++i) {
        const std::string text = std::to_string(guest) + "-" + std::to_string(i);
        const Response answer = sign(connection, text);
        if (answer.outcome == Outcome::ok && answer.status == 303) {
          answered[guest].push_back(text);
          ++written;
        } else {
          problems[guest] = answer.text();
        }
      }
    });
  }
  for (int round = 0; round < 5; ++round) {
    const std::size_t wanted = written + 30;
    eventually("more was written", 30s, [&] {
      return written >= wanted ||
             std::ranges::any_of(problems, [](const auto& each) { return !each.empty(); });
    });
    const auto reload = daemon.ctl({"reload"});
    INFO(reload.text());
    CHECK(reload.exit.code == 0);
  }
  stopping = true;
  for (auto& guest : guests) guest.join();
  CHECK(problems == std::vector<std::string>(kGuests));
  std::vector<std::string> expected;
  for (const auto& each : answered) expected.insert(expected.end(), each.begin(), each.end());
  auto found = texts(endpoint);
  std::ranges::sort(expected);
  std::ranges::sort(found);
  CHECK((found == expected));
}
