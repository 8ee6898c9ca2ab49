// What has become of work that was begun earlier.
#pragma once

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace appserver {

// A value, or the exception that came in its place. Functions that are called when something has
// ended get one: ok() says which it is, value() gives the one or throws the other.
template <class T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Outcome(std::exception_ptr error) noexcept      // NOLINT(google-explicit-constructor)
      : error_(std::move(error)) {}

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }

  // Throws what came in place of the value.
  T& value() & {
    if (!ok()) std::rethrow_exception(error_);
    return *value_;
  }
  T&& value() && { return std::move(value()); }

  // Null where there is a value.
  const std::exception_ptr& error() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  std::exception_ptr error_;
};

template <>
class [[nodiscard]] Outcome<void> {
 public:
  Outcome() = default;
  Outcome(std::exception_ptr error) noexcept  // NOLINT(google-explicit-constructor)
      : error_(std::move(error)) {}

  bool ok() const noexcept { return error_ == nullptr; }
  explicit operator bool() const noexcept { return ok(); }
  void value() const {
    if (!ok()) std::rethrow_exception(error_);
  }
  const std::exception_ptr& error() const noexcept { return error_; }

 private:
  std::exception_ptr error_;
};

// That of calling `function`: what it gives, or what it throws.
template <class Function, class T = std::invoke_result_t<Function&>>
Outcome<T> outcome_of(Function&& function) noexcept {
  try {
    if constexpr (std::is_void_v<T>) {
      function();
      return {};
    } else {
      return function();
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace appserver
