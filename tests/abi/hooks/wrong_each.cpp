// Each hook with parameters of its own: each is refused.
// expect each: HOOK has another signature than the hook of appserver::Plugin: write it as `
#include <appserver/plugin.hpp>

using namespace appserver;

struct Unlike {};

#define WRONG(context, result, hook, parameters) \
  struct Wrong_##hook : Plugin {                 \
    void hook(Unlike, Unlike, Unlike) {}         \
  };                                             \
  static_assert(detail::plugin_table<Wrong_##hook>("wrong", "1").size > 0);
APPSERVER_DETAIL_HOOKS(WRONG, )
