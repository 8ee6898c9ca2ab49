// Plugins whose hooks override those of Plugin, in each way that there is: this compiles.
#include <appserver/plugin.hpp>
#include <string>
#include <string_view>

using namespace appserver;

namespace right {

class Private : public Plugin {
  void on_worker_start(Worker&) noexcept override {}
  void on_message(Connection, Message) final {}
  void on_request(Request&, Response&) override {}
};

class Protected : public Plugin {
 protected:
  void on_message(const Connection connection, const Message message) override {
    static_cast<void>(connection);
    static_cast<void>(message);
  }
};

// Without `override`, and beside others of its name.
class Overloaded : public Plugin {
 public:
  void on_message(Connection, Message message) override { on_message(message); }
  virtual void on_message(std::string_view text) { static_cast<void>(text); }
  void on_close(Connection, Close) override {}

 private:
  void on_close(int) {}
  template <class T>
  void on_message(T, T, T) {}
};

template <class Text>
class Template : public Plugin {
 public:
  void on_message(Connection, Message message) override { last_ = message; }

 private:
  Text last_;
};
using Instance = Template<std::string>;

class Virtual : public virtual Plugin {
 public:
  void on_connect(Connection) override {}
};
class Between : public Virtual {};
class Last final : public Between {
  Task<void> on_request_async(Request&, Response&) override { co_return; }
  void on_client_message(GatewayClient&, Message) override {}
};
class Nothing final : public Plugin {};

// Another base has members of the same names.
struct Listener {
  virtual ~Listener() = default;
  virtual void on_error(int) {}
  virtual void on_close() {}
};
class Beside final : public Plugin, public Listener {
 public:
  using Plugin::on_error;

 private:
  void on_close(Connection, Close) override {}
  void on_close() override {}
};

template <class Class>
constexpr bool kHasTable = detail::plugin_table<Class>("right", "1").size > 0;
static_assert(kHasTable<Private> && kHasTable<Protected> && kHasTable<Overloaded>);
static_assert(kHasTable<Instance> && kHasTable<Last> && kHasTable<Nothing>);

static_assert(detail::overrides_on_message<Private, Plugin>());
static_assert(detail::overrides_on_message<Protected, Plugin>());
static_assert(detail::overrides_on_message<Overloaded, Plugin>());
static_assert(detail::overrides_on_message<Instance, Plugin>());
static_assert(detail::overrides_on_request_async<Last, Plugin>());
static_assert(detail::overrides_on_connect<Last, Plugin>());
static_assert(!detail::overrides_on_message<Last, Plugin>());
static_assert(kHasTable<Beside> && !detail::overrides_on_error<Beside, Plugin>());
static_assert(!detail::overrides_on_message<Nothing, Plugin>());

}  // namespace right

namespace a {
APPSERVER_DETAIL_CHECK_HOOKS(right::Private);
}
namespace b {
APPSERVER_DETAIL_CHECK_HOOKS(right::Protected);
}
namespace c {
APPSERVER_DETAIL_CHECK_HOOKS(right::Overloaded);
}
namespace d {
APPSERVER_DETAIL_CHECK_HOOKS(right::Instance);
}
namespace e {
APPSERVER_DETAIL_CHECK_HOOKS(right::Last);
}
namespace f {
APPSERVER_DETAIL_CHECK_HOOKS(right::Beside);
}

APPSERVER_PLUGIN(right::Nothing, "nothing", "1.0.0")
