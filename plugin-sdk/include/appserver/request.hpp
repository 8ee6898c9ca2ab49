// An HTTP request, as a plugin sees it.
#pragma once

#include <appserver/abi/http.h>

#include <appserver/cookie.hpp>
#include <appserver/detail/convert.hpp>
#include <appserver/detail/request_copy.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/tls.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace appserver {

// The client sent something that makes no sense. Leaving on_request, it answers 400 with its text
// and is not counted as a failure of the plugin. The readers of Request throw it; a plugin may too.
class BadRequest : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Header {
  std::string_view name;
  std::string_view value;
};

// The headers in the order sent. A range: `for (auto [name, value] : request.headers())`.
class Headers {
 public:
  class Iterator {
   public:
    Iterator(const char* at, std::uint32_t stride) noexcept : at_(at), stride_(stride) {}
    Header operator*() const noexcept {
      const auto* header = static_cast<const appserver_header*>(static_cast<const void*>(at_));
      return {detail::view(header->name), detail::view(header->value)};
    }
    Iterator& operator++() noexcept {
      at_ += stride_;
      return *this;
    }
    bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

   private:
    const char* at_;
    std::uint32_t stride_;
  };

  explicit Headers(const appserver_http_request& raw) noexcept : raw_(&raw) {}

  Iterator begin() const noexcept { return {first(), raw_->header_stride}; }
  Iterator end() const noexcept {
    return {first() + size() * raw_->header_stride, raw_->header_stride};
  }
  std::size_t size() const noexcept { return raw_->header_count; }

 private:
  // Stepped in bytes: a newer host's headers may be longer than the ones known here.
  const char* first() const noexcept {
    static const char kNone = 0;
    const void* const first = raw_->headers;
    return first != nullptr ? static_cast<const char*>(first) : &kNone;
  }

  const appserver_http_request* raw_;
};

// Every view dies when on_request returns: copy what a later answer needs, or the whole. What a
// coroutine gets is a copy, which lives as long as the coroutine. Percent-decoding is
// strict: a '%' without two hexadecimal digits in what is asked for throws BadRequest. Decoded text
// may hold any byte, UTF-8 is not checked.
class Request {
 public:
  explicit Request(const appserver_http_request& raw) noexcept : raw_(&raw) {}
  Request(Request&&) noexcept = default;
  Request& operator=(Request&&) noexcept = default;

  // One with views of its own, which live as long as it does or another that it is moved to. Any
  // thread may read it.
  Request copy() const { return Request(std::make_unique<const detail::RequestCopy>(*raw_)); }

  // As sent; case matters.
  std::string_view method() const noexcept { return detail::view(raw_->method); }
  std::string_view target() const noexcept { return detail::view(raw_->target); }

  // Nullopt without TLS, and from a host that does not know of it.
  std::optional<TlsInfo> tls() const {
    if (!APPSERVER_HAS(appserver_http_request, raw_, tls)) return std::nullopt;
    return detail::tls_info(raw_->tls);
  }

  // The target's path with its percent-encoding. Decide by this one: in the decoded path an encoded
  // '/' looks like a separator.
  std::string_view path() const noexcept { return detail::view(raw_->path); }

  // Also refuses an encoded NUL.
  std::string decoded_path() const {
    auto decoded = detail::percent_decode(path(), false);
    if (!decoded || decoded->find('\0') != std::string::npos)
      throw BadRequest("the path is not percent-encoded rightly");
    return *std::move(decoded);
  }

  // All behind the '?', still encoded.
  std::string_view query_string() const noexcept { return detail::view(raw_->query); }

  // The first parameter of that name, decoded, '+' as a space. "?name" and "?name=" are there and
  // empty.
  std::optional<std::string> query(std::string_view name) const {
    return field(query_string(), name, "query");
  }
  std::string query(std::string_view name, std::string_view fallback) const {
    auto value = query(name);
    return value ? *std::move(value) : std::string(fallback);
  }
  std::string query(std::string_view name, std::nullptr_t) const = delete;

  // Converted to the fallback's type: numbers and bool, as in Settings. What does not convert
  // throws BadRequest.
  template <class T>
    requires detail::Number<T> || detail::OneOf<T, bool>
  T query(std::string_view name, T fallback) const {
    const auto text = query(name);
    if (!text) return fallback;
    const auto value = detail::convert<T>(*text);
    if (value) return *value;
    throw BadRequest("query parameter \"" + std::string(name) + "\": expected " +
                     detail::expected<T>());
  }

  // The first field of that name in a body of type application/x-www-form-urlencoded; none in
  // another body.
  std::optional<std::string> form(std::string_view name) const {
    constexpr std::string_view kType = "application/x-www-form-urlencoded";
    std::string_view type = header("Content-Type", {});
    type = type.substr(0, type.find_first_of("; \t"));
    if (!detail::equal_ignoring_case(type, kType)) return std::nullopt;
    return field(body(), name, "form");
  }

  // The first header of that name, case ignored, without white space around it.
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    for (const auto& [key, value] : headers()) {
      if (detail::equal_ignoring_case(key, name)) return value;
    }
    return std::nullopt;
  }
  std::string_view header(std::string_view name, std::string_view fallback) const noexcept {
    return header(name).value_or(fallback);
  }
  // The first cookie of that name: its bytes as they came, without quotes around them.
  std::optional<std::string_view> cookie(std::string_view name) const noexcept {
    for (const auto& [key, value] : headers()) {
      if (!detail::equal_ignoring_case(key, "Cookie")) continue;
      if (const auto found = detail::find_cookie(value, name)) return found;
    }
    return std::nullopt;
  }
  std::string_view cookie(std::string_view name, std::string_view fallback) const noexcept {
    return cookie(name).value_or(fallback);
  }
  Headers headers() const noexcept { return Headers(*raw_); }

  // Whole; transfer coding removed.
  std::string_view body() const noexcept { return detail::view(raw_->body); }

  // "192.0.2.1:5123", "[2001:db8::1]:5123" or "unix".
  std::string_view remote() const noexcept { return detail::view(raw_->remote); }

  // 10 for HTTP/1.0, 11 for HTTP/1.1.
  unsigned version() const noexcept { return raw_->version; }

 private:
  static std::optional<std::string> field(std::string_view fields, std::string_view name,
                                          const char* where) {
    const auto raw = detail::find_field(fields, name);
    if (!raw) return std::nullopt;
    auto decoded = detail::percent_decode(*raw, true);
    if (decoded) return decoded;
    throw BadRequest(std::string(where) + " parameter \"" + std::string(name) +
                     "\" is not percent-encoded rightly");
  }

  explicit Request(std::unique_ptr<const detail::RequestCopy> copy) noexcept
      : raw_(&copy->raw()), copy_(std::move(copy)) {}

  const appserver_http_request* raw_;
  std::unique_ptr<const detail::RequestCopy> copy_;  // null: the views are the host's
};

}  // namespace appserver
