// Another base has members of the hooks' names: the compiler names each, and the way out.
// clang-format off
// expect: appserver_name_of_on_error
// expect: appserver_name_of_on_close
// expect: appserver_name_of_on_connect
// expect: ambiguous
// expect: using appserver::Plugin::NAME_OF_THE_HOOK;
// clang-format on
#include <appserver/plugin.hpp>

struct Listener {
  virtual ~Listener() = default;
  virtual void on_error(int) {}
  virtual void on_close() {}
  virtual void on_connect(const char*) {}
};
class Wrong final : public appserver::Plugin, public Listener {};

APPSERVER_PLUGIN(Wrong, "wrong", "1.0.0")
