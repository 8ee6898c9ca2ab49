// TLS facts as the C ABI has them.
#pragma once

#include <appserver/abi/tls.h>

#include <appserver/detail/text.hpp>
#include <appserver/tls.hpp>
#include <optional>

namespace appserver::testing {

// Views of `info`, which must outlive it.
class RawTls {
 public:
  explicit RawTls(const std::optional<TlsInfo>& info) : is_there_(info.has_value()) {
    if (!info) return;
    raw_ = {sizeof(appserver_tls_info),        0,
            detail::str(info->version),        detail::str(info->cipher),
            detail::str(info->alpn),           detail::str(info->server_name),
            detail::str(info->client_subject), detail::str(info->client_fingerprint)};
  }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;
  const appserver_tls_info* raw() const { return is_there_ ? &raw_ : nullptr; }

 private:
  appserver_tls_info raw_{};
  bool is_there_;
};

}  // namespace appserver::testing
