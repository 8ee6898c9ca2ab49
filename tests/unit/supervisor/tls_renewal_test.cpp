#include "supervisor/tls_renewal.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "record_files.hpp"
#include "tls_site.hpp"

using namespace appserver;
using namespace appserver::supervisor;
using namespace appserver::supervisor::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

// One group under TLS, and what its renewal says.
struct Renewal {
  Renewal() {
    TlsRenewal::Hooks hooks;
    hooks.in_use = [this] { return std::vector<TlsRenewal::InUse>{{"api", site.tls, material}}; };
    hooks.renewed = [this](const TlsRenewal::InUse&, TlsMaterialPtr fresh) {
      material = std::move(fresh);
      const std::string& problem = material->certificates.at(0).problem;
      told.push_back((material->as_before ? "as before" : "renewed") +
                     (problem.empty() ? problem : ": " + problem));
    };
    hooks.failed = [this](const TlsRenewal::InUse&, const std::string& why) {
      told.push_back("failed: " + why);
    };
    hooks.looked = [this] { ++looks; };
    renewal.emplace(io, keeper, std::move(hooks));
  }
  // One look, to its end; the file thread does one thing after the other.
  std::vector<std::string> look() {
    bool over = false;
    renewal->look();
    keeper.run([](Archive&, const ArchiveKeeper::GivenUp&) {}, ArchiveKeeper::kLimit,
               [&over](const std::string&) { over = true; });
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!over && std::chrono::steady_clock::now() < limit) {
      io.restart();
      io.run_one_for(100ms);
    }
    REQUIRE(over);
    CHECK(std::exchange(looks, 0) == 1);
    return std::exchange(told, {});
  }

  Files site;
  TlsMaterialPtr material = load_tls(site.tls);
  std::vector<std::string> told;
  int looks = 0;
  Folder folder;
  boost::asio::io_context io;
  telemetry::Log log{telemetry::Level::error, telemetry::Format::text};
  Archive archive{folder / "state"};
  ArchiveKeeper keeper{io, files, archive, log};
  std::optional<TlsRenewal> renewal;
  boost::asio::thread_pool files{1};
};

const std::vector<std::string> kNothing;

}  // namespace

TEST_CASE("certificates that are as before are not read again") {
  Renewal renewal;
  const TlsMaterialPtr before = renewal.material;
  CHECK(renewal.look() == kNothing);
  CHECK(renewal.look() == kNothing);
  CHECK(renewal.material == before);
}

TEST_CASE("files that are no good are told once for each change, and taken once they are mended") {
  Renewal renewal;
  renewal.site.write("a.key", "torn");
  const auto told = renewal.look();
  REQUIRE(told.size() == 1);
  CHECK_THAT(told.front(), Contains("as before: ") && Contains("a.key"));
  CHECK(renewal.look() == kNothing);
  renewal.site.put("a", renewal.site.authority.issue({{"localhost"}}));
  CHECK(renewal.look() == std::vector<std::string>{"renewed"});
  CHECK(renewal.look() == kNothing);
}

TEST_CASE("files that could not be read are looked at again though they stay as they are") {
  Renewal renewal;
  const auto made = renewal.site.authority.issue({{"localhost"}});
  // It can be looked at, but not opened, whoever asks.
  fs::remove(renewal.site.path("a.key"));
  fs::create_symlink(renewal.site.path("a.key"), renewal.site.path("a.key"));
  const auto told = renewal.look();
  REQUIRE(told.size() == 1);
  CHECK_THAT(told.front(), Contains("open(") && Contains("a.key"));
  CHECK(renewal.look() == told);
  fs::remove(renewal.site.path("a.key"));
  renewal.site.put("a", made);
  CHECK(renewal.look() == std::vector<std::string>{"renewed"});
}

TEST_CASE("files that were away for a while are those in use again") {
  Renewal renewal;
  const fs::path folder = renewal.site.path("a.key").parent_path();
  const fs::path away = folder.native() + ".away";
  fs::rename(folder, away);
  CHECK(renewal.look().size() == 1);
  fs::rename(away, folder);
  CHECK(renewal.look() == std::vector<std::string>{"as before"});
  CHECK(renewal.look() == kNothing);
}

TEST_CASE("a certificate that is not valid yet is taken once it is, though its files stay") {
  Renewal renewal;
  appserver::test::Wanted tomorrow;
  tomorrow.names = {"localhost"};
  tomorrow.from_day = 1;
  renewal.site.put("a", renewal.site.authority.issue(tomorrow));
  const auto told = renewal.look();
  REQUIRE(told.size() == 1);
  CHECK_THAT(told.front(), Contains("as before: ") && Contains("is not valid before"));
  CHECK(renewal.look() == kNothing);
  // As if that day had come.
  auto due = std::make_shared<TlsMaterial>();
  due->file = renewal.material->file.duplicate();
  due->files = renewal.material->files;
  due->certificates = renewal.material->certificates;
  due->again = std::chrono::sys_seconds{};
  renewal.material = due;
  CHECK(renewal.look().size() == 1);
}
