// "http/1" for plugins: on the loop's thread straight to the server, from others as a copy queued
// for the loop.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "net/http/response_writer.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

// An answer that outlives its call.
class ResponseCopy {
 public:
  explicit ResponseCopy(const appserver_http_response& response)
      : status_(response.status), body_(response.body.data, response.body.size) {
    const char* next = reinterpret_cast<const char*>(response.headers);
    for (std::uint32_t i = 0; i < response.header_count; ++i, next += response.header_stride) {
      const auto& header = *reinterpret_cast<const appserver_header*>(next);
      names_.emplace_back(header.name.data, header.name.size);
      values_.emplace_back(header.value.data, header.value.size);
    }
  }

  std::size_t bytes() const {
    std::size_t total = body_.size();
    for (std::size_t i = 0; i < names_.size(); ++i) total += names_[i].size() + values_[i].size();
    return total;
  }

  template <typename Use>
  void use(Use&& call) const {
    std::vector<appserver_header> headers;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      headers.push_back(
          {{names_[i].data(), names_[i].size()}, {values_[i].data(), values_[i].size()}});
    }
    appserver_http_response response{};
    response.size = sizeof(response);
    response.status = status_;
    response.headers = headers.data();
    response.header_count = static_cast<std::uint32_t>(headers.size());
    response.header_stride = sizeof(appserver_header);
    response.body = {body_.data(), body_.size()};
    call(response);
  }

 private:
  std::uint32_t status_;
  std::string body_;
  std::vector<std::string> names_;
  std::vector<std::string> values_;
};

std::string_view text(appserver_str str) { return {str.data, str.size}; }

// A plugin built for an older minor has a shorter response; the rest reads as zero.
appserver_http_response whole(const appserver_http_response* response) {
  appserver_http_response ours{};
  std::memcpy(&ours, response, std::min<std::size_t>(response->size, sizeof(ours)));
  return ours;
}

}  // namespace

bool PluginHost::is_open_elsewhere(appserver_exchange exchange) {
  const std::lock_guard lock(open_mutex_);
  return open_.contains(exchange);
}

std::int32_t PluginHost::respond(appserver_exchange exchange,
                                 const appserver_http_response& response) {
  if (on_loop()) return server_->respond(exchange, response);
  if (const std::int32_t status = net::http::validate(response); status != APPSERVER_OK)
    return status;
  {
    // Taken out at once: a second answer from any thread is GONE.
    const std::lock_guard lock(open_mutex_);
    if (open_.erase(exchange) == 0) return APPSERVER_GONE;
  }
  auto copy = std::make_shared<const ResponseCopy>(response);
  const std::int32_t queued = queue(copy->bytes(), [this, exchange, copy] {
    copy->use([&](const appserver_http_response& kept) { server_->respond(exchange, kept); });
  });
  if (queued == APPSERVER_LIMIT) {
    const std::lock_guard lock(open_mutex_);
    open_.insert(exchange);
  }
  return queued;
}

std::int32_t PluginHost::defer(appserver_exchange exchange) {
  if (!on_loop()) return APPSERVER_INVALID;
  const std::int32_t result = server_->defer(exchange);
  if (result != APPSERVER_OK) return result;
  const std::lock_guard lock(open_mutex_);
  open_.insert(exchange);
  return result;
}

std::int32_t PluginHost::start_stream(appserver_exchange exchange,
                                      const appserver_http_response& response,
                                      std::int64_t content_length) {
  if (on_loop()) {
    const std::int32_t result = server_->start(exchange, response, content_length);
    if (result == APPSERVER_OK) {
      const std::lock_guard lock(open_mutex_);
      open_.insert(exchange);
    }
    return result;
  }
  if (const std::int32_t status = net::http::validate(response); status != APPSERVER_OK)
    return status;
  if (!is_open_elsewhere(exchange)) return APPSERVER_GONE;
  auto copy = std::make_shared<const ResponseCopy>(response);
  return queue(copy->bytes(), [this, exchange, copy, content_length] {
    copy->use([&](const appserver_http_response& kept) {
      server_->start(exchange, kept, content_length);
    });
  });
}

std::int32_t PluginHost::write(appserver_exchange exchange, std::string_view piece) {
  if (piece.empty()) return alive(exchange);
  if (on_loop()) return server_->write(exchange, piece);
  if (!is_open_elsewhere(exchange)) return APPSERVER_GONE;
  return queue(piece.size(), [this, exchange, copy = std::string(piece)] {
    // The queue's bound was the back-pressure; a piece that has no room here would leave a hole, so
    // the answer ends.
    const std::int32_t result = server_->write(exchange, copy);
    if (result == APPSERVER_LIMIT || result == APPSERVER_INVALID) server_->abort(exchange);
  });
}

std::int32_t PluginHost::finish(appserver_exchange exchange) {
  if (on_loop()) return server_->finish(exchange);
  if (!is_open_elsewhere(exchange)) return APPSERVER_GONE;
  return queue(0, [this, exchange] { server_->finish(exchange); });
}

std::int32_t PluginHost::abort(appserver_exchange exchange) {
  if (on_loop()) return server_->abort(exchange);
  if (!is_open_elsewhere(exchange)) return APPSERVER_GONE;
  return queue(0, [this, exchange] { server_->abort(exchange); });
}

std::int32_t PluginHost::alive(appserver_exchange exchange) {
  if (on_loop()) return server_->alive(exchange);
  return is_open_elsewhere(exchange) ? APPSERVER_OK : APPSERVER_GONE;
}

const appserver_http_host& http_host_table() {
  static const appserver_http_host kTable = {
      sizeof(appserver_http_host),
      0,
      [](appserver_worker* worker, appserver_exchange exchange,
         const appserver_http_response* response) noexcept {
        return worker->host.respond(exchange, whole(response));
      },
      [](appserver_worker* worker, appserver_exchange exchange) noexcept {
        return worker->host.defer(exchange);
      },
      [](appserver_worker* worker, appserver_exchange exchange,
         const appserver_http_response* response, std::int64_t content_length) noexcept {
        return worker->host.start_stream(exchange, whole(response), content_length);
      },
      [](appserver_worker* worker, appserver_exchange exchange, appserver_str piece) noexcept {
        return worker->host.write(exchange, text(piece));
      },
      [](appserver_worker* worker, appserver_exchange exchange) noexcept {
        return worker->host.finish(exchange);
      },
      [](appserver_worker* worker, appserver_exchange exchange) noexcept {
        return worker->host.abort(exchange);
      },
      [](appserver_worker* worker, appserver_exchange exchange) noexcept {
        return worker->host.alive(exchange);
      },
  };
  return kTable;
}

const appserver_host& host_table() {
  static const appserver_host kTable = {
      sizeof(appserver_host),
      APPSERVER_ABI_MAJOR,
      APPSERVER_ABI_MINOR,
      [](const char* name) noexcept -> const void* {
        return std::string_view(name) == APPSERVER_HTTP ? &http_host_table() : nullptr;
      },
      [](appserver_worker* worker) noexcept { return &worker->host.info(); },
      [](appserver_worker* worker, std::int32_t level, appserver_str message) noexcept {
        worker->host.log(level, text(message));
      },
      [](appserver_worker* worker, appserver_str message) noexcept {
        worker->host.report_error(text(message));
      },
      [](appserver_worker* worker, appserver_str path, appserver_str* value) noexcept {
        return worker->host.setting(text(path), *value);
      },
      [](appserver_worker* worker, void (*call)(void*) noexcept, void* argument) noexcept {
        return worker->host.post(call, argument);
      },
      [](appserver_worker* worker, std::uint64_t delay_ms, std::uint64_t every_ms,
         void (*call)(void*) noexcept, void* argument) noexcept {
        return worker->host.timer_start(delay_ms, every_ms, call, argument);
      },
      [](appserver_worker* worker, appserver_timer timer) noexcept {
        return worker->host.timer_cancel(timer);
      },
      [](appserver_worker* worker, std::int32_t kind, appserver_str name) noexcept {
        return worker->host.metric(kind, text(name));
      },
      [](appserver_worker* worker, appserver_metric metric, double value) noexcept {
        worker->host.metric_add(metric, value);
      },
      [](appserver_worker* worker, appserver_metric metric, double value) noexcept {
        worker->host.metric_set(metric, value);
      },
  };
  return kTable;
}

}  // namespace appserver::worker
