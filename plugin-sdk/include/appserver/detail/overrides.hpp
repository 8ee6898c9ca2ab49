// Which hooks a plugin class overrides, told at compile time.
#pragma once

#include <type_traits>

// Whether Class, or a class between it and Base, overrides the hook. One that is not accessible was
// declared by the plugin; one that Base lacks is none.
#define APPSERVER_DETAIL_OVERRIDES(name, hook)                                                     \
  template <class Class, class Base>                                                               \
  constexpr bool name() {                                                                          \
    if constexpr (!requires { &Base::hook; }) {                                                    \
      return false;                                                                                \
    } else if constexpr (requires {                                                                \
                           requires std::is_same_v<decltype(&Class::hook), decltype(&Base::hook)>; \
                         }) {                                                                      \
      return false;                                                                                \
    } else {                                                                                       \
      return true;                                                                                 \
    }                                                                                              \
  }
