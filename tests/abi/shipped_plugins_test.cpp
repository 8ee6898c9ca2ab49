// The plugins under plugins/, as built, loaded as a worker does and driven by the fake host.
#include <dlfcn.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "fake_host.hpp"
#include "fake_plugin.hpp"

namespace {

// Never closed, as in a worker.
const appserver_plugin& load(const char* path) {
  void* const object = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) throw std::runtime_error(::dlerror());
  const void* const symbol = ::dlsym(object, APPSERVER_PLUGIN_SYMBOL);
  if (symbol == nullptr) throw std::runtime_error(::dlerror());
  return *static_cast<const appserver_plugin*>(symbol);
}

}  // namespace

TEST_CASE("hello and its C twin behave the same") {
  const auto* const file = GENERATE(HELLO, HELLO_C);
  CAPTURE(file);
  fake::Host host(fake::Settings{{"greeting", "hi"}});
  fake::Plugin plugin(host, load(file));
  REQUIRE(plugin.created() == APPSERVER_OK);
  REQUIRE(plugin.start() == APPSERVER_OK);
  REQUIRE(plugin.get("/").body == "hi, world\n");
  REQUIRE(plugin.get("/?name=Ada+%26%20B").body == "hi, Ada & B\n");
  REQUIRE(plugin.get("/?names=x&name=Ada&name=Eve").body == "hi, Ada\n");
  REQUIRE(plugin.get("/?name=").body == "hi, \n");
  REQUIRE(plugin.get("/?name=%4").status == 400);
  REQUIRE(plugin.get("/?x=1&").body == "hi, world\n");
  REQUIRE(plugin.get("/healthz").status == 200);
  REQUIRE(plugin.get("/healthz").body == "ok\n");
  REQUIRE(plugin.get("/").header("Content-Type") == "text/plain; charset=utf-8");
}

TEST_CASE("hello without a setting says hello") {
  const auto* const file = GENERATE(HELLO, HELLO_C);
  fake::Host host;
  fake::Plugin plugin(host, load(file));
  REQUIRE(plugin.start() == APPSERVER_OK);
  REQUIRE(plugin.get("/").body == "hello, world\n");
}

TEST_CASE("slow answers by a timer, a thread, or at once") {
  fake::Host host;
  fake::Plugin plugin(host, load(SLOW));
  REQUIRE(plugin.start() == APPSERVER_OK);

  const auto by_timer =
      plugin.request({.target = "/?ms=50", .method = "POST", .body = std::string(16384, 'x')});
  REQUIRE(host.answer(by_timer).state == fake::State::kDeferred);
  host.advance(50);
  REQUIRE(host.answer(by_timer).body == "slept 50 ms, body 16384 bytes, worker 3\n");

  const auto by_thread = plugin.request({.target = "/?ms=1&mode=thread"});
  REQUIRE(host.wait(by_thread).body == "slept 1 ms, body 0 bytes, worker 3\n");
  REQUIRE(host.wait_posted());

  REQUIRE(plugin.get("/?ms=1&mode=block").body == "slept 1 ms, body 0 bytes, worker 3\n");
  REQUIRE(plugin.get("/healthz").body == "ok\n");
}

TEST_CASE("slow refuses what it cannot do") {
  fake::Host host;
  fake::Plugin plugin(host, load(SLOW));
  REQUIRE(plugin.start() == APPSERVER_OK);
  for (const char* target :
       {"/?ms=60001", "/?ms=-1", "/?ms=x", "/?ms=", "/?mode=nap", "/?stream=100001", "/?ms=%4"}) {
    CAPTURE(target);
    REQUIRE(plugin.get(target).status == 400);
    REQUIRE_FALSE(plugin.get(target).failed);
  }
}

TEST_CASE("slow streams its chunks, one each interval, and waits for a slow reader") {
  fake::Host host;
  fake::Plugin plugin(host, load(SLOW));
  REQUIRE(plugin.start() == APPSERVER_OK);
  host.set_write_bound(0);
  const auto id = plugin.request({.target = "/?ms=20&stream=3"});
  REQUIRE(host.answer(id).body == "chunk 1 of 3\n");
  host.advance(100);
  REQUIRE(host.answer(id).body == "chunk 1 of 3\n");
  host.set_write_bound(1000);
  host.advance(100);
  REQUIRE(host.answer(id).body == "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n");
  REQUIRE(host.answer(id).state == fake::State::kAnswered);
  REQUIRE(host.timers() == 0);
}

TEST_CASE("slow joins its threads at the end, whatever they still wait for") {
  fake::Host host;
  fake::Plugin plugin(host, load(SLOW));
  REQUIRE(plugin.start() == APPSERVER_OK);
  const auto id = plugin.request({.target = "/?ms=60000&mode=thread"});
  plugin.end();
  REQUIRE(host.answer(id).status == 500);
}

TEST_CASE("the file server serves its folder, and does not start without one") {
  const std::string folder = std::filesystem::path(FILE_SERVER).parent_path().string();
  fake::Host host(fake::Settings{{"folder", folder}, {"cache_control", "max-age=60"}});
  fake::Plugin plugin(host, load(FILE_SERVER));
  REQUIRE(plugin.start() == APPSERVER_OK);
  REQUIRE(plugin.get("/file-server.so").status == 200);
  REQUIRE(plugin.get("/file-server.so").header("Cache-Control") == "max-age=60");
  REQUIRE(plugin.get("/../file-server.so").status == 404);

  fake::Host without;
  fake::Plugin refused(without, load(FILE_SERVER));
  REQUIRE(refused.start() == APPSERVER_ERROR);
  REQUIRE(without.errors().find("folder") != std::string::npos);
  fake::Host wrong(fake::Settings{{"folder", folder + "/none"}});
  fake::Plugin cannot(wrong, load(FILE_SERVER));
  REQUIRE(load(FILE_SERVER).self_check(cannot.self()) == APPSERVER_ERROR);
  REQUIRE(wrong.errors().find(folder + "/none: No such file") != std::string::npos);
}

TEST_CASE("the clock ticks for each client until its worker drains") {
  fake::Host host;
  fake::Plugin plugin(host, load(CLOCK));
  REQUIRE(plugin.start() == APPSERVER_OK);
  REQUIRE(plugin.get("/").body.find("EventSource(\"events\")") != std::string::npos);
  const auto ticks = [&](appserver_exchange id) {
    const std::string body = host.answer(id).body;
    std::size_t count = 0;
    for (auto at = body.find("event: tick\nid: "); at != std::string::npos;
         at = body.find("event: tick\nid: ", at + 1))
      ++count;
    return count;
  };
  const auto id = plugin.request({.target = "/events"});
  REQUIRE(host.answer(id).header("Content-Type") == "text/event-stream");
  REQUIRE(ticks(id) == 1);
  host.advance(1000);
  REQUIRE(ticks(id) == 2);
  host.advance(1000);
  REQUIRE(host.answer(id).state == fake::State::kStreaming);
  host.advance(60'000);
  REQUIRE(host.answer(id).state == fake::State::kStreaming);
  REQUIRE(ticks(id) == 63);

  const auto again = plugin.request({.target = "/events", .headers = {{"Last-Event-ID", "1"}}});
  REQUIRE(ticks(again) == 61);
  const auto odd =
      plugin.request({.target = "/events", .headers = {{"Last-Event-ID", "99999999999999999999"}}});
  REQUIRE(ticks(odd) == 1);
  host.disconnect(odd);
  host.advance(1000);
  plugin.drain();
  REQUIRE(host.answer(id).state == fake::State::kAnswered);
  REQUIRE(host.answer(again).state == fake::State::kAnswered);
  const auto late = plugin.request({.target = "/events"});
  REQUIRE(ticks(late) == 1);
  REQUIRE(host.answer(late).state == fake::State::kAnswered);
}
