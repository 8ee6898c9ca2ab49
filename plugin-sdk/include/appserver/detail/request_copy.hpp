// A request that outlives its hook.
#pragma once

#include <appserver/abi/http.h>

#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace appserver::detail {

// All its text in one piece of memory.
class RequestCopy {
 public:
  explicit RequestCopy(const appserver_http_request& from) {
    text_.reserve(measure(from));
    raw_.size = sizeof(raw_);
    raw_.version = from.version;
    raw_.method = keep(from.method);
    raw_.target = keep(from.target);
    raw_.path = keep(from.path);
    raw_.query = keep(from.query);
    raw_.body = keep(from.body);
    raw_.remote = keep(from.remote);
    keep_tls(from);
    headers_.reserve(from.header_count);
    for (std::uint32_t i = 0; i < from.header_count; ++i) {
      const appserver_header& header = at(from, i);
      headers_.push_back({keep(header.name), keep(header.value)});
    }
    raw_.headers = headers_.data();
    raw_.header_count = from.header_count;
    raw_.header_stride = sizeof(appserver_header);
  }
  RequestCopy(const RequestCopy&) = delete;
  RequestCopy& operator=(const RequestCopy&) = delete;

  const appserver_http_request& raw() const noexcept { return raw_; }

 private:
  static const appserver_header& at(const appserver_http_request& from,
                                    std::uint32_t index) noexcept {
    const void* const first = from.headers;
    const void* const header =
        static_cast<const char*>(first) + std::size_t{index} * from.header_stride;
    return *static_cast<const appserver_header*>(header);
  }

  static std::size_t measure(const appserver_http_request& from) noexcept {
    std::size_t size = from.method.size + from.target.size + from.path.size + from.query.size +
                       from.body.size + from.remote.size;
    for (std::uint32_t i = 0; i < from.header_count; ++i)
      size += at(from, i).name.size + at(from, i).value.size;
    if (const appserver_tls_info* const tls = tls_of(from))
      for (const auto part : kTlsParts) size += (tls->*part).size;
    return size;
  }

  static const appserver_tls_info* tls_of(const appserver_http_request& from) noexcept {
    return APPSERVER_HAS(appserver_http_request, &from, tls) ? from.tls : nullptr;
  }

  void keep_tls(const appserver_http_request& from) {
    const appserver_tls_info* const tls = tls_of(from);
    if (tls == nullptr) return;
    tls_.size = sizeof(tls_);
    for (const auto part : kTlsParts) tls_.*part = keep(tls->*part);
    raw_.tls = &tls_;
  }

  // There is room: views into the text stay.
  appserver_str keep(appserver_str piece) {
    const std::size_t begin = text_.size();
    text_.append(view(piece));
    return str(std::string_view(text_).substr(begin));
  }

  static constexpr appserver_str appserver_tls_info::*kTlsParts[] = {
      &appserver_tls_info::version,        &appserver_tls_info::cipher,
      &appserver_tls_info::alpn,           &appserver_tls_info::server_name,
      &appserver_tls_info::client_subject, &appserver_tls_info::client_fingerprint};

  std::string text_;
  std::vector<appserver_header> headers_;
  appserver_http_request raw_{};
  appserver_tls_info tls_{};
};

}  // namespace appserver::detail
