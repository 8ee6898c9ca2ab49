// A plugin driven by a fake host.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/http.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fake_host.hpp"

namespace fake {

struct Request {
  std::string target = "/";
  std::string method = "GET";
  Fields headers = {};
  std::string body = {};
};

// A plugin's life on a Host: made in the constructor, stopped and destroyed in the destructor.
class Plugin {
 public:
  Plugin(Host& host, const appserver_plugin& table) : host_(host), table_(table) {
    created_ = table_.create(&host_.table(), host_.worker(), &self_);
    if (table_.extension != nullptr)
      http_ = static_cast<const appserver_http_plugin*>(table_.extension(APPSERVER_HTTP));
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() { end(); }

  std::int32_t created() const { return created_; }
  void* self() const { return self_; }

  std::int32_t start() {
    const std::int32_t result =
        table_.on_worker_start == nullptr ? APPSERVER_OK : table_.on_worker_start(self_);
    started_ = result == APPSERVER_OK;
    return result;
  }
  void reload() { table_.on_worker_reload(self_); }

  appserver_exchange request(const Request& request) {
    const std::size_t mark = request.target.find('?');
    const std::string path = request.target.substr(0, mark);
    const std::string query = mark == std::string::npos ? "" : request.target.substr(mark + 1);
    std::vector<appserver_header> headers;
    for (const auto& [name, value] : request.headers) headers.push_back({view(name), view(value)});
    const appserver_http_request raw{sizeof(appserver_http_request),
                                     11,
                                     view(request.method),
                                     view(request.target),
                                     view(path),
                                     view(query),
                                     headers.data(),
                                     static_cast<std::uint32_t>(headers.size()),
                                     sizeof(appserver_header),
                                     view(request.body),
                                     view("192.0.2.1:5123")};
    const appserver_exchange id = host_.open(request.method == "HEAD");
    host_.returned(id, http_->on_request(self_, &raw, id));
    return id;
  }

  // For answers given within on_request.
  Answer get(const std::string& target) { return host_.answer(request({.target = target})); }

  void end() {
    if (self_ == nullptr) return;
    if (started_ && table_.on_worker_stop != nullptr) table_.on_worker_stop(self_);
    table_.destroy(self_);
    self_ = nullptr;
  }

 private:
  static appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

  Host& host_;
  const appserver_plugin& table_;
  const appserver_http_plugin* http_ = nullptr;
  void* self_ = nullptr;
  std::int32_t created_ = APPSERVER_ERROR;
  bool started_ = false;
};

}  // namespace fake
