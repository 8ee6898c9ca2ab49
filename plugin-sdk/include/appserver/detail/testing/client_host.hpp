// "client/1" of a host in memory: what a plugin asks of others is answered by the test.
#pragma once

#include <appserver/abi/client.h>

#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/http_host.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// A call to another server.
struct Asked {
  std::string method;
  std::string url;
  Fields headers;
  std::string body;
  std::uint64_t timeout_ms;
  std::string ca_file;
};

class ClientHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_CLIENT;
  static const void* table() noexcept {
    static constexpr appserver_client_host kTable{sizeof(appserver_client_host), 0, &http_start,
                                                  &http_cancel};
    return &kTable;
  }
  using Extension::Extension;

  // A worker that has ended calls nobody back.
  void detach() override {
    asked_.clear();
    ends_.clear();
  }

  // Those under way, by number.
  const std::map<appserver_http_call, Asked>& asked() const { return asked_; }
  void answer(appserver_http_call call, std::uint32_t status, const Fields& headers,
              std::string_view body) {
    std::vector<appserver_header> raw_headers;
    for (const auto& [name, value] : headers) raw_headers.push_back({view(name), view(value)});
    appserver_client_response raw{};
    raw.status = status;
    raw.headers = raw_headers.data();
    raw.header_count = static_cast<std::uint32_t>(raw_headers.size());
    raw.header_stride = sizeof(appserver_header);
    raw.body = view(body);
    end(call, raw);
  }
  // `failure` is one of APPSERVER_CALL_*.
  void fail(appserver_http_call call, std::uint32_t failure, std::string_view message) {
    appserver_client_response raw{};
    raw.failure = failure;
    raw.message = view(message);
    end(call, raw);
  }

 private:
  using Done = void (*)(void*, const appserver_client_response*) APPSERVER_NOEXCEPT;

  static appserver_str view(std::string_view text) { return {text.data(), text.size()}; }
  static std::string text(appserver_str raw) {
    return raw.size == 0 ? std::string() : std::string(raw.data, raw.size);
  }

  void end(appserver_http_call call, appserver_client_response& raw) {
    raw.size = sizeof(raw);
    const auto [done, argument] = ends_.at(call);
    ends_.erase(call);
    asked_.erase(call);
    done(argument, &raw);
  }

  static std::int32_t http_start(appserver_worker* worker, const appserver_client_request* request,
                                 Done done, void* argument, appserver_http_call* call) noexcept {
    auto& host = Core::of(worker).extension<ClientHost>();
    Asked asked{text(request->method), text(request->url),  {},
                text(request->body),   request->timeout_ms, text(request->ca_file)};
    for (std::uint32_t i = 0; i < request->header_count; ++i) {
      asked.headers.emplace_back(text(request->headers[i].name), text(request->headers[i].value));
    }
    *call = ++host.last_;
    host.asked_[*call] = std::move(asked);
    host.ends_[*call] = {done, argument};
    return APPSERVER_OK;
  }
  static std::int32_t http_cancel(appserver_worker* worker, appserver_http_call call) noexcept {
    auto& host = Core::of(worker).extension<ClientHost>();
    host.ends_.erase(call);
    return host.asked_.erase(call) == 1 ? APPSERVER_OK : APPSERVER_NOT_FOUND;
  }

  std::map<appserver_http_call, Asked> asked_;
  std::map<appserver_http_call, std::pair<Done, void*>> ends_;
  appserver_http_call last_ = 0;
};

}  // namespace appserver::testing
