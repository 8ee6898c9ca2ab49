#include "bus/store.hpp"

#include <malloc.h>

#include <catch2/catch.hpp>
#include <limits>
#include <string>

using namespace appserver::bus;
using namespace std::chrono_literals;

namespace {

constexpr milliseconds kForEver{0};

struct Fixture {
  Store store{10'000, 1000};
  Time now{};
  std::string owner = "api";

  Store::Result set(std::string_view key, std::string_view value, milliseconds ttl = kForEver) {
    return store.set(key, value, ttl, Condition::none, 0, owner, now);
  }
  std::string get(std::string_view key) {
    const auto result = store.get(key, now);
    return result.status == Status::ok ? std::string(result.value) : "(none)";
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a key has the value that was set last") {
  CHECK(get("a") == "(none)");
  CHECK(set("a", "1").status == Status::ok);
  CHECK(set("a", "").status == Status::ok);
  CHECK(get("a").empty());
  CHECK(store.erase("a", now).status == Status::ok);
  CHECK(store.erase("a", now).status == Status::not_found);
  CHECK(get("a") == "(none)");
  CHECK(store.bytes() == 0);
}

TEST_CASE_METHOD(Fixture, "a key is gone when its time has come, and not before") {
  set("a", "1", 100ms);
  now += 99ms;
  CHECK(get("a") == "1");
  now += 1ms;
  CHECK(get("a") == "(none)");
  CHECK(store.bytes() == 0);
}

TEST_CASE_METHOD(Fixture, "a key that is set again lives as long as was said last") {
  set("a", "1", 100ms);
  set("a", "2", 200ms);
  now += 150ms;
  CHECK(get("a") == "2");
  set("a", "3");
  now += 1h;
  CHECK(get("a") == "3");
  set("a", "4", milliseconds::max());
  now += 1h;
  CHECK(get("a") == "4");
}

TEST_CASE_METHOD(Fixture, "a value is set where none is, once") {
  CHECK(store.set("a", "1", 50ms, Condition::absent, 0, "api", now).status == Status::ok);
  const auto second = store.set("a", "2", kForEver, Condition::absent, 0, "api", now);
  CHECK(second.status == Status::conflict);
  CHECK(second.version == store.get("a", now).version);
  CHECK(get("a") == "1");
  now += 50ms;
  CHECK(store.set("a", "3", kForEver, Condition::absent, 0, "api", now).status == Status::ok);
}

TEST_CASE_METHOD(Fixture, "a value is set where nobody changed it since, by its version") {
  const auto first = set("a", "1").version;
  const auto second = store.set("a", "2", kForEver, Condition::version, first, "api", now);
  CHECK(second.status == Status::ok);
  CHECK(second.version != first);
  CHECK(store.set("a", "3", kForEver, Condition::version, first, "api", now).status ==
        Status::conflict);
  CHECK(get("a") == "2");
  // Neither a key that was made anew nor another one has a version that was before.
  store.erase("a", now);
  set("a", "2");
  CHECK(store.set("a", "3", kForEver, Condition::version, second.version, "api", now).status ==
        Status::conflict);
  CHECK(store.set("b", "1", kForEver, Condition::version, 0, "api", now).status == Status::ok);
}

TEST_CASE_METHOD(Fixture, "numbers are added to, within 64 bits") {
  CHECK(store.add("n", 5, kForEver, "api", now).sum == 5);
  CHECK(store.add("n", -7, kForEver, "api", now).sum == -2);
  CHECK(get("n") == "-2");
  set("n", std::to_string(std::numeric_limits<std::int64_t>::max()));
  CHECK(store.add("n", 1, kForEver, "api", now).status == Status::not_a_number);
  for (const char* text : {"", "x", "1x", " 1", "9223372036854775808"}) {
    set("n", text);
    CHECK(store.add("n", 1, kForEver, "api", now).status == Status::not_a_number);
    CHECK(get("n") == text);
  }
}

TEST_CASE_METHOD(Fixture, "a sum keeps the time to live that its first adding gave") {
  store.add("n", 1, 100ms, "api", now);
  now += 60ms;
  store.add("n", 1, 100ms, "api", now);
  now += 40ms;
  CHECK(store.add("n", 1, kForEver, "api", now).sum == 1);
}

TEST_CASE_METHOD(Fixture, "what all keys take is bounded, and given back") {
  const std::string value(1000, 'v');
  std::size_t kept = 0;
  // Two that change places, for one alone may not take all.
  while (set("key" + std::to_string(kept), value).status == Status::ok)
    owner = ++kept % 2 == 0 ? "api" : "other";
  CHECK(kept == 10'000 / (1000 + 4 + Store::kOverhead));
  CHECK(store.bytes() <= 10'000);
  CHECK(set("key" + std::to_string(kept), value).status == Status::full);
  CHECK(set("key0", value + value + value).status == Status::full);
  CHECK(get("key0") == value);
  CHECK(set("key0", "less").status == Status::ok);
  store.erase("key1", now);
  CHECK(set("another", value, 10ms).status == Status::ok);
  now += 10ms;
  CHECK(set("more", value).status == Status::ok);
}

TEST_CASE_METHOD(Fixture, "an owner that takes all it can leaves an eighth to the others") {
  const std::string value(100, 'v');
  int kept = 0;
  while (set("key" + std::to_string(kept), value).status == Status::ok) ++kept;
  CHECK(store.bytes() <= 8'750);
  CHECK(store.largest_owner() == "api");
  owner = "other";
  CHECK(set("other", value).status == Status::ok);
  CHECK(store.add("count", 1, kForEver, owner, now).sum == 1);
  owner = "api";
  CHECK(set("more", value).status == Status::full);
  CHECK(store.add("more", 1, kForEver, owner, now).status == Status::full);
  // It may go on changing what it has.
  CHECK(set("key0", value).status == Status::ok);
}

TEST_CASE_METHOD(Fixture, "an entry counts as of who changed it last, until it is gone") {
  const std::string value(3000, 'v');
  CHECK(store.largest_owner().empty());
  CHECK(set("a", value).status == Status::ok);
  CHECK(set("b", value).status == Status::ok);
  owner = "other";
  CHECK(set("a", value).status == Status::ok);
  CHECK(set("b", value + "v", 10ms).status == Status::ok);
  CHECK(store.largest_owner() == "other");
  owner = "api";
  CHECK(set("c", value).status == Status::ok);
  now += 10ms;
  CHECK(set("d", value).status == Status::ok);
  CHECK(store.largest_owner() == "api");
  for (const char* key : {"a", "c", "d"}) store.erase(key, now);
  CHECK(store.largest_owner().empty());
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
TEST_CASE("a long value that a short one replaces gives its memory back") {
  Store store{std::size_t{4} << 20, 1};
  const Time now{};
  const std::string long_value(64 << 10, 'v');
  const auto before = ::mallinfo2();
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i);
    REQUIRE(store.set(key, long_value, kForEver, Condition::none, 0, "api", now).status ==
            Status::ok);
    REQUIRE(store.set(key, "v", kForEver, Condition::none, 0, "api", now).status == Status::ok);
  }
  const auto after = ::mallinfo2();
  const std::size_t used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
  CHECK(used <= store.bytes() + (64 << 10));
}

TEST_CASE("keys that expire take no more memory than is counted for them") {
  Store store{std::size_t{16} << 20, 1};
  const Time now{};
  const auto before = ::mallinfo2();
  int keys = 0;
  const std::string rest(240, 'k');
  while (store
             .set(rest + std::to_string(keys), {}, 1h, Condition::none, 0,
                  keys % 2 == 0 ? "api" : "other", now)
             .status == Status::ok)
    ++keys;
  const auto after = ::mallinfo2();
  const std::size_t used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
  CHECK(keys > 1000);
  CHECK(used <= (std::size_t{16} << 20));
}
#endif
