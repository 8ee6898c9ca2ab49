#include "plugin/load.hpp"

#include <appserver/abi/http.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "files.hpp"
#include "plugin/bad_plugin.hpp"

using namespace appserver;
using namespace appserver::plugin::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using plugin::BadPlugin;

namespace {

int32_t create(const appserver_host*, appserver_worker*, void**) noexcept { return APPSERVER_OK; }
void destroy(void*) noexcept {}
int32_t on_worker_start(void*) noexcept { return APPSERVER_OK; }
int32_t on_request(void*, const appserver_http_request*, appserver_exchange) noexcept {
  return APPSERVER_OK;
}

appserver_plugin make_plugin() {
  appserver_plugin plugin{};
  plugin.size = sizeof(plugin);
  plugin.abi_major = APPSERVER_ABI_MAJOR;
  plugin.abi_minor = APPSERVER_ABI_MINOR;
  plugin.name = "hello";
  plugin.version = "1.0.0";
  plugin.create = create;
  plugin.destroy = destroy;
  plugin.on_worker_start = on_worker_start;
  return plugin;
}

}  // namespace

TEST_CASE("a good plugin loads and brings its hooks and tables") {
  const auto loaded = plugin::load(fixture("answers"));
  CHECK(std::string(loaded.name) == "answers");
  CHECK(loaded.create != nullptr);
  CHECK(loaded.on_worker_start == nullptr);
  const auto http = plugin::read_table<appserver_http_plugin>(loaded.extension(APPSERVER_HTTP));
  REQUIRE(http);
  CHECK(http->on_request != nullptr);
  CHECK_FALSE(plugin::read_table<appserver_http_plugin>(loaded.extension("nothing/1")));
}

TEST_CASE(
    "a plugin is found by a relative path, and not searched for among the system's libraries") {
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(APPSERVER_FIXTURES);
  const auto loaded = plugin::load("answers.so");
  CHECK_THROWS_WITH(plugin::load("libm.so.6"),
                    Contains("/libm.so.6: cannot open shared object file"));
  std::filesystem::current_path(here);
  CHECK(std::string(loaded.name) == "answers");
}

TEST_CASE("an undefined symbol is named as it stands in the source") {
  const auto file = fixture("undefined_symbol");
  REQUIRE_THROWS_WITH(plugin::load(file),
                      file.native() +
                          ": undefined symbol: shop::price(int); link what defines it into the "
                          "plugin (appserver_add_plugin finds this at link time)");
}

TEST_CASE("a shared object without the symbol is refused") {
  REQUIRE_THROWS_WITH(plugin::load(fixture("no_symbol")),
                      Contains("no_symbol.so: it does not export appserver_plugin_v1"));
}

TEST_CASE("the table of another ABI is refused after loading too") {
  REQUIRE_THROWS_WITH(plugin::load(fixture("wrong_abi_major")),
                      Contains("is of ABI 2.0, this appserverd has ABI 1.1"));
}

TEST_CASE("what the loader says is made readable") {
  using plugin::explain_loader_error;
  const std::filesystem::path file = "/store/hello.so";
  CHECK(explain_loader_error("/store/hello.so: undefined symbol: PQconnectdb, version LIBPQ_5",
                             file) ==
        "undefined symbol: PQconnectdb, version LIBPQ_5; link what defines it into the plugin "
        "(appserver_add_plugin finds this at link time)");
  CHECK(explain_loader_error(
            "libpq.so.5: cannot open shared object file: No such file or directory", file) ==
        "libpq.so.5: cannot open shared object file: No such file or directory; install that "
        "library on this machine, or link it statically");
  CHECK(explain_loader_error("/lib/libstdc++.so.6: version `GLIBCXX_3.4.31' not found (required by "
                             "/store/hello.so)",
                             file) ==
        "/lib/libstdc++.so.6: version `GLIBCXX_3.4.31' not found (required by /store/hello.so); "
        "build the plugin on a system as old as this one");
  CHECK(explain_loader_error("/store/hello.so: file too short", file) == "file too short");
  CHECK(explain_loader_error("", file).empty());
}

TEST_CASE("a table of an older SDK is read with its later fields NULL") {
  auto old = make_plugin();
  old.size = offsetof(appserver_plugin, on_worker_start);
  const auto read = plugin::read_plugin(&old);
  CHECK(read.destroy == destroy);
  CHECK(read.on_worker_start == nullptr);
}

TEST_CASE("a plugin built for ABI 1.0 still loads, without the hook that came later") {
  const auto loaded = plugin::load(fixture("frozen_1_0"));
  CHECK(std::string(loaded.name) == "frozen_1_0");
  CHECK(loaded.abi_minor == 0);
  CHECK(loaded.extension != nullptr);
  CHECK(loaded.self_check == nullptr);
}

TEST_CASE("a table longer than ours is read as far as we know it") {
  struct {
    appserver_http_plugin known{};
    std::uint64_t later[4] = {1, 2, 3, 4};
  } table;
  table.known.size = sizeof(table);
  table.known.on_request = on_request;
  const auto read = plugin::read_table<appserver_http_plugin>(&table);
  REQUIRE(read);
  CHECK(read->on_request == on_request);
}

TEST_CASE("an unusable table is refused with its fault") {
  auto table = make_plugin();
  SECTION("too short") {
    table.size = offsetof(appserver_plugin, destroy);
    CHECK_THROWS_WITH(plugin::read_plugin(&table), Contains("is too short"));
  }
  SECTION("size 0") {
    table.size = 0;
    CHECK_THROWS_WITH(plugin::read_plugin(&table), Contains("is too short"));
  }
  SECTION("no create") {
    table.create = nullptr;
    CHECK_THROWS_WITH(plugin::read_plugin(&table), Contains("lacks create or destroy"));
  }
  SECTION("no destroy") {
    table.destroy = nullptr;
    CHECK_THROWS_WITH(plugin::read_plugin(&table), Contains("lacks create or destroy"));
  }
  SECTION("a newer minor") {
    table.abi_minor = APPSERVER_ABI_MINOR + 1;
    CHECK_THROWS_WITH(plugin::read_plugin(&table),
                      Contains("is of ABI 1.2, this appserverd has ABI 1.1"));
  }
}
