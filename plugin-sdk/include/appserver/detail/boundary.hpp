// What keeps C++ inside the plugin: work carried as one pointer through the C ABI, and exceptions
// turned into words.
#pragma once

#include <appserver/abi.h>
#include <cxxabi.h>

#include <appserver/detail/text.hpp>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace appserver::detail {

// A callable that needs not be copyable, so that an answer or a stream can be moved into it.
class Callable {
 public:
  Callable() = default;
  Callable(const Callable&) = delete;
  Callable& operator=(const Callable&) = delete;
  virtual ~Callable() = default;
  virtual void run() = 0;
};

template <class Function>
class CallableOf final : public Callable {
 public:
  template <class F>
  explicit CallableOf(std::in_place_t, F&& function) : function_(std::forward<F>(function)) {}
  void run() override { static_cast<void>(function_()); }

 private:
  Function function_;
};

template <class Function>
std::unique_ptr<Callable> make_callable(Function&& function) {
  return std::make_unique<CallableOf<std::decay_t<Function>>>(std::in_place,
                                                              std::forward<Function>(function));
}

inline std::string type_name(const std::type_info* type) {
  if (type == nullptr) return "unknown exception";
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
  return status == 0 && name ? std::string(name.get()) : std::string(type->name());
}

// The exception being handled, as "std::runtime_error: cannot open prices.db". Call it in a catch
// block only.
inline std::string describe_exception() {
  const std::string type = type_name(abi::__cxa_current_exception_type());
  try {
    throw;
  } catch (const std::exception& error) {
    return type + ": " + error.what();
  } catch (...) {
    return type;
  }
}

// Hands words about the exception being handled to say(std::string_view), which must not throw.
template <class Say>
void with_description(std::string_view where, Say&& say) noexcept {
  try {
    const std::string text = std::string(where) + ": " + describe_exception();
    say(std::string_view(text));
  } catch (...) {
    say(where);
  }
}

inline void log_exception(const appserver_host* host, appserver_worker* worker,
                          std::string_view where) noexcept {
  with_description(
      where, [&](std::string_view text) { host->log(worker, APPSERVER_LOG_ERROR, str(text)); });
}

}  // namespace appserver::detail
