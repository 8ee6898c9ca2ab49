// What looks like the hook, and is called like it, but does not override it.
// clang-format off
// expect: on_connect has another signature
// expect: on_message has another signature than the hook of appserver::Plugin: write it as `void on_message(Connection connection, Message message) override`
// expect: on_request has another signature
// expect: on_close has another signature
// expect: on_error has another signature
// expect: on_worker_start has another signature
// expect: measure has another signature
// clang-format on
#include <appserver/plugin.hpp>
#include <string>
#include <string_view>

using namespace appserver;

template <class Class>
constexpr bool kHasTable = detail::plugin_table<Class>("wrong", "1").size > 0;

struct View : Plugin {
  void on_message(Connection, std::string_view) {}
};
struct Constant : Plugin {
  void on_request(const Request&, Response&) {}
};
struct Member : Plugin {
  void on_close(Connection, Close) const {}
};
struct Static : Plugin {
  static void on_worker_start() {}
};
struct Data : Plugin {
  int on_error = 0;
};
struct Template : Plugin {
  void on_connect(auto) {}
};
struct Between : Plugin {
  std::size_t measure(Connection, const std::string&) { return 0; }
};
struct Last final : Between {};

static_assert(kHasTable<View> && kHasTable<Constant> && kHasTable<Member> && kHasTable<Static>);
static_assert(kHasTable<Data> && kHasTable<Template> && kHasTable<Last>);
