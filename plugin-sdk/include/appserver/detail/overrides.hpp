// Which hooks a plugin class overrides, told at compile time, and that it overrides them: one with
// another signature would hide the hook of Plugin, which would be called in its place.
#pragma once

#include <type_traits>

// clang-format off
// Each hook of Plugin, as HOOK(context, result, name, (parameters)). plugin.hpp holds the two against each other.
#define APPSERVER_DETAIL_HOOKS(HOOK, context) \
  HOOK(context, void, self_check, (Worker& worker)) \
  HOOK(context, void, on_worker_start, (Worker& worker)) \
  HOOK(context, void, on_worker_reload, (Worker& worker)) \
  HOOK(context, void, on_save_state, (SavedState& state)) \
  HOOK(context, void, on_worker_drain, (Worker& worker)) \
  HOOK(context, void, on_worker_stop, (Worker& worker)) \
  HOOK(context, void, on_request, (Request& request, Response& response)) \
  HOOK(context, Task<void>, on_request_async, (Request& request, Response& response)) \
  HOOK(context, void, on_connect, (Connection connection)) \
  HOOK(context, void, on_websocket_open, (Connection connection, const Request& request, Upgrade& upgrade)) \
  HOOK(context, void, on_message, (Connection connection, Message message)) \
  HOOK(context, void, on_close, (Connection connection, Close close)) \
  HOOK(context, void, on_error, (Connection connection, std::string_view what)) \
  HOOK(context, void, on_buffer_full, (Connection connection)) \
  HOOK(context, void, on_buffer_drain, (Connection connection)) \
  HOOK(context, void, on_handover, (Connection connection, std::string& state)) \
  HOOK(context, void, on_adopt, (Connection connection, std::string_view state)) \
  HOOK(context, std::size_t, measure, (Connection connection, std::string_view data)) \
  HOOK(context, void, on_datagram, (Datagram& datagram)) \
  HOOK(context, void, on_client_connect, (GatewayClient& client)) \
  HOOK(context, void, on_client_websocket_open, (GatewayClient& client, const Request& request)) \
  HOOK(context, void, on_client_message, (GatewayClient& client, Message message)) \
  HOOK(context, void, on_client_close, (GatewayClient& client, Close close))
// clang-format on

namespace appserver::detail {

// The type of a member of Base, as one of Class.
template <class Member, class Class>
struct MemberOf;
template <class Type, class Base, class Class>
struct MemberOf<Type Base::*, Class> {
  using type = Type Class::*;
};
template <class Member, class Class>
using member_of = typename MemberOf<Member, Class>::type;

// Whether a member function overrides, by its type, the other one, a virtual function. The classes
// that these are of say nothing: one may be a virtual base.
template <class Given, class Hook>
constexpr bool kOverrides = false;
template <class Given, class Class, class Hook, class Base>
constexpr bool kOverrides<Given Class::*, Hook Base::*> =
    std::is_convertible_v<Given Class::*, Hook Class::*>;

template <auto member>
struct MemberName {};

}  // namespace appserver::detail

// clang-format off
#define APPSERVER_DETAIL_MISFIT(result, hook, parameters) \
  #hook " has another signature than the hook of appserver::Plugin: write it as `" #result " " #hook #parameters \
  " override`, or give it another name"
// clang-format on

// Of each hook:
// fits_HOOK: true, or no code at all.
// HOOK_has_another_signature: the same for &Class::HOOK, also where that is overloaded; no function
// of this name is found where no overload is the hook, hence the name.
// overrides_HOOK: whether Class, or a class between it and Base, overrides it. One that cannot be
// named here, being private, is taken for one that does: APPSERVER_DETAIL_CHECK_HOOKS can. One that
// Base lacks is none.
// clang-format off
#define APPSERVER_DETAIL_OVERRIDES(context, result, hook, parameters)                              \
  template <class Class, class Base, class Given>                                                  \
  constexpr bool fits_##hook() {                                                                   \
    static_assert(kOverrides<Given, decltype(&Base::hook)>,                                        \
                  APPSERVER_DETAIL_MISFIT(result, hook, parameters));                              \
    return true;                                                                                   \
  }                                                                                                \
  template <class Class, class Base, class Given>                                                  \
  constexpr bool hook##_has_another_signature(Given) {                                             \
    return fits_##hook<Class, Base, Given>();                                                      \
  }                                                                                                \
  template <class Class, class Base>                                                               \
  constexpr bool hook##_has_another_signature(member_of<decltype(&Base::hook), Class>) {           \
    return true;                                                                                   \
  }                                                                                                \
  template <class Class, class Base>                                                               \
  constexpr bool overrides_##hook() {                                                              \
    if constexpr (!requires { &Base::hook; }) {                                                    \
      return false;                                                                                \
    } else if constexpr (requires { typename MemberName<&Class::hook>; }) {                        \
      using Given = decltype(&Class::hook);                                                        \
      return fits_##hook<Class, Base, Given>() && !std::is_same_v<Given, decltype(&Base::hook)>;   \
    } else {                                                                                       \
      using Hook = member_of<decltype(&Base::hook), Class>;                                        \
      constexpr bool is_template = requires {                                                      \
        requires std::is_same_v<MemberName<static_cast<Hook>(&Class::hook)>,                       \
                                MemberName<static_cast<Hook>(&Class::template hook<>)>>;           \
      };                                                                                           \
      /* One never overrides. */                                                                   \
      static_assert(!is_template, APPSERVER_DETAIL_MISFIT(result, hook, parameters));              \
      return true;                                                                                 \
    }                                                                                              \
  }
// clang-format on
namespace appserver::detail {
APPSERVER_DETAIL_HOOKS(APPSERVER_DETAIL_OVERRIDES, )

#define APPSERVER_DETAIL_OVERRIDES_ONE(context, result, hook, parameters) \
  static_cast<void>(overrides_##hook<Class, Base>());
// All hooks, whether or not it matters that they are there.
template <class Class, class Base>
constexpr bool check_hooks() {
  APPSERVER_DETAIL_HOOKS(APPSERVER_DETAIL_OVERRIDES_ONE, )
  return true;
}
#undef APPSERVER_DETAIL_OVERRIDES_ONE
#undef APPSERVER_DETAIL_OVERRIDES

}  // namespace appserver::detail

// The same at namespace scope, for private hooks and overloaded ones, too: an explicit
// instantiation may name what it has no access to. Once in a namespace. The names come first:
// within template arguments g++ does not say which of them is ambiguous.
// clang-format off
#define APPSERVER_DETAIL_CHECK_HOOKS(Class) \
  APPSERVER_DETAIL_HOOKS(APPSERVER_DETAIL_NAME, Class) \
  template <bool...> \
  struct appserver_hooks_of_plugin {}; \
  template struct appserver_hooks_of_plugin<true APPSERVER_DETAIL_HOOKS(APPSERVER_DETAIL_CHECK, Class)>
#define APPSERVER_DETAIL_NAME(Class, result, hook, parameters) \
  template <int> \
  bool appserver_name_of_##hook(); \
  extern template decltype(::appserver::detail::hook##_has_another_signature<Class, ::appserver::Plugin>( \
      &Class::hook)) /* ambiguous? Write `public: using appserver::Plugin::NAME_OF_THE_HOOK;` in the class */ \
      appserver_name_of_##hook<1>();
#define APPSERVER_DETAIL_CHECK(Class, result, hook, parameters) \
  , ::appserver::detail::hook##_has_another_signature<Class, ::appserver::Plugin>(&Class::hook)
// clang-format on
