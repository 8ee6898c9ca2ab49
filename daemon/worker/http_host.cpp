// "http/1" for plugins: on the loop's thread straight to the server, from others as a copy queued
// for the loop.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "net/http/response_writer.hpp"
#include "worker/abi_text.hpp"
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

// A plugin built for an older minor has a shorter response; the rest reads as zero.
appserver_http_response whole(const appserver_http_response* response) {
  appserver_http_response ours{};
  std::memcpy(&ours, response, std::min<std::size_t>(response->size, sizeof(ours)));
  return ours;
}

// What must still follow of a body of known length; nothing is counted where the host drops the
// body.
std::optional<std::uint64_t> left_after(std::int64_t content_length, std::size_t first_piece,
                                        std::uint32_t status, bool head) {
  if (content_length < 0 || head || status == 204 || status == 205 || status == 304)
    return std::nullopt;
  const auto length = static_cast<std::uint64_t>(content_length);
  return length - std::min<std::uint64_t>(length, first_piece);
}

}  // namespace

std::int32_t PluginHost::respond(appserver_exchange exchange,
                                 const appserver_http_response& response) {
  if (!on_loop()) return respond_elsewhere(exchange, response);
  return server_ == nullptr ? APPSERVER_GONE : server_->respond(exchange, response);
}

std::int32_t PluginHost::respond_elsewhere(appserver_exchange exchange,
                                           const appserver_http_response& response) {
  if (const std::int32_t status = net::http::validate(response); status != APPSERVER_OK)
    return status;
  auto copy = std::make_shared<const ResponseCopy>(response);
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  if (found == open_.end()) return APPSERVER_GONE;
  if (found->second.started) return APPSERVER_INVALID;
  const std::int32_t queued = queue(copy->bytes(), [this, exchange, copy] {
    copy->use([&](const appserver_http_response& kept) { server_->respond(exchange, kept); });
  });
  // Taken out at once: a second answer from any thread is GONE.
  if (queued == APPSERVER_OK) open_.erase(found);
  return queued;
}

std::int32_t PluginHost::defer(appserver_exchange exchange) {
  if (!on_loop()) return APPSERVER_INVALID;
  if (server_ == nullptr) return APPSERVER_GONE;
  const std::int32_t result = server_->defer(exchange);
  if (result != APPSERVER_OK) return result;
  const std::lock_guard lock(open_mutex_);
  open_.try_emplace(exchange, Open{.head = server_->is_head(exchange)});
  return result;
}

std::int32_t PluginHost::start_stream(appserver_exchange exchange,
                                      const appserver_http_response& response,
                                      std::int64_t content_length) {
  if (!on_loop()) return start_elsewhere(exchange, response, content_length);
  if (server_ == nullptr) return APPSERVER_GONE;
  const std::int32_t result = server_->start(exchange, response, content_length);
  if (result != APPSERVER_OK) return result;
  const std::lock_guard lock(open_mutex_);
  const bool head = server_->is_head(exchange);
  open_[exchange] =
      Open{.head = head,
           .started = true,
           .left = left_after(content_length, response.body.size, response.status, head)};
  return result;
}

std::int32_t PluginHost::start_elsewhere(appserver_exchange exchange,
                                         const appserver_http_response& response,
                                         std::int64_t content_length) {
  if (const std::int32_t status = net::http::validate(response); status != APPSERVER_OK)
    return status;
  const std::size_t first = response.body.size;
  if (content_length >= 0 && first > static_cast<std::uint64_t>(content_length))
    return APPSERVER_INVALID;
  auto copy = std::make_shared<const ResponseCopy>(response);
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  if (found == open_.end()) return APPSERVER_GONE;
  if (found->second.started) return APPSERVER_INVALID;
  const std::int32_t queued = queue(copy->bytes(), [this, exchange, copy, content_length, first] {
    copy->use([&](const appserver_http_response& kept) {
      server_->start(exchange, kept, content_length);
    });
    arrived(exchange, first);
  });
  if (queued != APPSERVER_OK) return queued;
  const bool head = found->second.head;
  found->second = Open{.head = head,
                       .started = true,
                       .left = left_after(content_length, first, response.status, head),
                       .waiting = first};
  return queued;
}

std::int32_t PluginHost::write(appserver_exchange exchange, std::string_view piece) {
  if (!on_loop()) return piece.empty() ? alive(exchange) : write_elsewhere(exchange, piece);
  if (server_ == nullptr) return APPSERVER_GONE;
  const std::int32_t result = server_->write(exchange, piece);
  if (result != APPSERVER_OK) return result;
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  // To HEAD the server drops any length.
  if (found != open_.end() && found->second.left)
    *found->second.left -= std::min<std::uint64_t>(*found->second.left, piece.size());
  return result;
}

std::int32_t PluginHost::write_elsewhere(appserver_exchange exchange, std::string_view piece) {
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  if (found == open_.end()) return APPSERVER_GONE;
  Open& open = found->second;
  if (!open.started || (open.left && piece.size() > *open.left)) return APPSERVER_INVALID;
  if (open.waiting + open.unsent >= net::HttpServer::kMostStreamed) {
    // What the client has taken since is known to the loop alone: the next try will know, too.
    if (!open.being_looked_at &&
        queue(0, [this, exchange] { arrived(exchange, 0); }) == APPSERVER_OK) {
      open.being_looked_at = true;
    }
    return APPSERVER_LIMIT;
  }
  const std::int32_t queued = queue(piece.size(), [this, exchange, copy = std::string(piece)] {
    server_->write_promised(exchange, copy);
    arrived(exchange, copy.size());
  });
  if (queued != APPSERVER_OK) return queued;
  open.waiting += piece.size();
  if (open.left) *open.left -= piece.size();
  return queued;
}

void PluginHost::arrived(appserver_exchange exchange, std::size_t bytes) {
  const std::size_t unsent = server_->unsent(exchange);
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  if (found == open_.end()) return;
  found->second.waiting -= std::min(found->second.waiting, bytes);
  found->second.unsent = unsent;
  found->second.being_looked_at = false;
}

std::int32_t PluginHost::finish(appserver_exchange exchange) {
  if (!on_loop()) return end_elsewhere(exchange, true);
  return server_ == nullptr ? APPSERVER_GONE : server_->finish(exchange);
}

std::int32_t PluginHost::abort(appserver_exchange exchange) {
  if (!on_loop()) return end_elsewhere(exchange, false);
  return server_ == nullptr ? APPSERVER_GONE : server_->abort(exchange);
}

std::int32_t PluginHost::end_elsewhere(appserver_exchange exchange, bool finish) {
  const std::lock_guard lock(open_mutex_);
  const auto found = open_.find(exchange);
  if (found == open_.end()) return APPSERVER_GONE;
  if (finish && !found->second.started) return APPSERVER_INVALID;
  const bool whole = found->second.left.value_or(0) == 0;
  const std::int32_t queued = queue(0, [this, exchange, good = finish && whole] {
    if (good) {
      server_->finish(exchange);
    } else {
      server_->abort(exchange);
    }
  });
  if (queued != APPSERVER_OK) return queued;
  open_.erase(found);
  return finish && !whole ? APPSERVER_INVALID : queued;
}

std::int32_t PluginHost::alive(appserver_exchange exchange) {
  if (on_loop()) return server_ == nullptr ? APPSERVER_GONE : server_->alive(exchange);
  const std::lock_guard lock(open_mutex_);
  return open_.contains(exchange) ? APPSERVER_OK : APPSERVER_GONE;
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
        const std::string_view wanted = name;
        if (wanted == APPSERVER_HTTP) return &http_host_table();
        if (wanted == APPSERVER_STREAM) return &stream_host_table();
        if (wanted == APPSERVER_FD) return &fd_host_table();
        if (wanted == APPSERVER_LIFECYCLE) return &lifecycle_host_table();
        if (wanted == APPSERVER_UDP) return &udp_host_table();
        if (wanted == APPSERVER_BUS) return &bus_host_table();
        if (wanted == APPSERVER_GATEWAY) return &gateway_host_table();
        if (wanted == APPSERVER_CLIENT) return &client_host_table();
        if (wanted == APPSERVER_CONNECT) return &connect_host_table();
        return nullptr;
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
