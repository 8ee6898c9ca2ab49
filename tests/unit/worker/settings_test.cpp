#include "worker/settings.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <exception>
#include <string>
#include <thread>
#include <vector>

using appserver::worker::Settings;

namespace {

constexpr const char* kJson =
    R"({"name":"shop","port":8080,"debt":-3,"ratio":0.25,"big":1e300,"on":true,"off":false,"nothing":null,"empty":"",)"
    R"("db":{"hosts":["a","b",{"name":"c"}],"":"unnamed"},"list":[[1,2],[]],"text":"a\"b\n\u00e9"})";

}  // namespace

TEST_CASE("a scalar is its text") {
  Settings settings(kJson);
  CHECK(settings.find("name") == "shop");
  CHECK(settings.find("port") == "8080");
  CHECK(settings.find("debt") == "-3");
  CHECK(settings.find("ratio") == "0.25");
  CHECK(settings.find("big") == "1e+300");
  CHECK(settings.find("on") == "true");
  CHECK(settings.find("off") == "false");
  CHECK(settings.find("text") == "a\"b\n\u00e9");
  CHECK(settings.find("empty") == "");
}

TEST_CASE("null is the empty text, and there; what is not there is not") {
  Settings settings(kJson);
  CHECK(settings.find("nothing") == "");
  CHECK_FALSE(settings.find("nothin"));
  CHECK_FALSE(settings.find("nothing.more"));
  CHECK_FALSE(settings.find("name.more"));
  CHECK_FALSE(settings.find("NAME"));
}

TEST_CASE("a path joins keys and list positions with dots") {
  Settings settings(kJson);
  CHECK(settings.find("db.hosts.0") == "a");
  CHECK(settings.find("db.hosts.2.name") == "c");
  CHECK(settings.find("list.0.1") == "2");
  for (const char* path : {"db.hosts.3", "db.hosts.-1", "db.hosts.+1", "db.hosts.x", "db.hosts.",
                           "db.hosts.99999999999999999999", ".", "name.", ".name", "db..hosts"}) {
    CAPTURE(path);
    CHECK_FALSE(settings.find(path));
  }
  CHECK(settings.find("db.") == "unnamed");
}

TEST_CASE("a map or list is JSON, and the empty path is the whole as it was given") {
  Settings settings(kJson);
  CHECK(settings.find("db.hosts") == R"(["a","b",{"name":"c"}])");
  CHECK(settings.find("list.1") == "[]");
  CHECK(settings.find("") == kJson);
  Settings none("{}");
  CHECK(none.find("") == "{}");
  CHECK_FALSE(none.find("x"));
}

TEST_CASE("what is not JSON is refused") {
  CHECK_THROWS_AS(Settings(""), std::exception);
  CHECK_THROWS_AS(Settings("{"), std::exception);
}

TEST_CASE("many threads may ask at once, and each text stays where it is") {
  std::string json = "{";
  for (int i = 0; i < 500; ++i)
    json += (i == 0 ? "" : ",") + ("\"k" + std::to_string(i) + "\":" + std::to_string(i));
  Settings settings(json + "}");
  const std::string_view first = *settings.find("k0");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        wrong += settings.find("k" + std::to_string(i)) == std::to_string(i) ? 0 : 1;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(first == "0");
  CHECK(settings.find("k0")->data() == first.data());
}
