#include "worker/connect_host.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "telemetry/worker_page.hpp"
#include "worker/abi_text.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

namespace client = net::client;
using client::milliseconds;
using net::StreamHandler;
using telemetry::Hook;
using telemetry::InHook;

std::uint64_t again_ms(const std::optional<milliseconds>& again) {
  return again ? static_cast<std::uint64_t>(again->count()) : APPSERVER_CONNECT_NO_MORE;
}

client::ConnectOptions to_options(const appserver_connect_options* given) {
  client::ConnectOptions options;
  if (given == nullptr) return options;
  // An older plugin's may be shorter.
  appserver_connect_options raw{};
  std::memcpy(&raw, given, std::min<std::size_t>(given->size, sizeof(raw)));
  options.retries = raw.retries;
  set_time(options.connect_timeout, raw.connect_timeout_ms);
  set_time(options.min_delay, raw.min_delay_ms);
  set_time(options.max_delay, raw.max_delay_ms);
  options.ca_file = string_of(raw.ca_file);
  const void* const first = raw.headers;
  for (std::uint32_t i = 0; i < raw.header_count; ++i) {
    const void* const at = static_cast<const char*>(first) + std::size_t{i} * raw.header_stride;
    const auto* const header = static_cast<const appserver_header*>(at);
    options.websocket.fields.push_back({string_of(header->name), string_of(header->value)});
  }
  for (std::uint32_t i = 0; i < raw.subprotocol_count; ++i)
    options.websocket.subprotocols.push_back(string_of(raw.subprotocols[i]));
  return options;
}

class Events final : public client::ConnectEvents {
 public:
  Events(PluginHost& host, const appserver_connect_events& given, void* argument)
      : host_(host), argument_(argument) {
    std::memcpy(&calls_, &given, std::min<std::size_t>(given.size, sizeof(calls_)));
  }
  bool has_on_message() const { return calls_.on_message != nullptr; }

  bool on_open(appserver_connection connection) override {
    if (calls_.on_open == nullptr) return true;
    return result_of(Hook::on_connect, [&] { return calls_.on_open(argument_, connection); }) ==
           APPSERVER_OK;
  }
  StreamHandler::Outcome on_message(appserver_connection connection, std::uint32_t kind,
                                    std::string_view message) override {
    const std::int32_t result = result_of(Hook::on_message, [&] {
      return calls_.on_message(argument_, connection, kind, view(message));
    });
    if (result == APPSERVER_OK) return StreamHandler::Outcome::good;
    return result == APPSERVER_FAILED ? StreamHandler::Outcome::failed
                                      : StreamHandler::Outcome::fatal;
  }
  void on_close(appserver_connection connection, const Ended& ended) override {
    if (calls_.on_close == nullptr) return;
    appserver_connect_end raw{};
    raw.size = sizeof(raw);
    raw.reason = ended.reason;
    raw.code = ended.code;
    raw.text = view(ended.text);
    raw.again_ms = again_ms(ended.again);
    const InHook in_hook(host_.page(), Hook::on_close);
    calls_.on_close(argument_, connection, &raw);
  }
  void on_buffer_full(appserver_connection connection) override {
    if (calls_.on_buffer_full == nullptr) return;
    const InHook in_hook(host_.page(), Hook::on_buffer_full);
    calls_.on_buffer_full(argument_, connection);
  }
  void on_buffer_drain(appserver_connection connection) override {
    if (calls_.on_buffer_drain == nullptr) return;
    const InHook in_hook(host_.page(), Hook::on_buffer_drain);
    calls_.on_buffer_drain(argument_, connection);
  }
  void on_failed(client::Failure failure, std::string_view why,
                 std::optional<milliseconds> again) override {
    if (calls_.on_failed == nullptr) return;
    const InHook in_hook(host_.page(), Hook::call_done);
    calls_.on_failed(argument_, static_cast<std::uint32_t>(failure), view(why), again_ms(again));
  }

 private:
  template <class Call>
  std::int32_t result_of(Hook hook, Call&& call) {
    host_.forget_error();
    std::int32_t result = APPSERVER_ERROR;
    {
      const InHook in_hook(host_.page(), hook);
      result = call();
    }
    if (result != APPSERVER_OK) host_.log_failure(to_string(hook));
    return result;
  }

  PluginHost& host_;
  appserver_connect_events calls_{};
  void* argument_;
};

}  // namespace

void ConnectHost::start(net::StreamServer& streams) {
  streams_ = &streams;
  connector_.emplace(context_, streams);
}

std::int32_t ConnectHost::begin(appserver_str url, const appserver_connect_options* options,
                                const appserver_connect_events& events, void* argument,
                                appserver_connect& connect) {
  if (!host_.on_loop()) return APPSERVER_INVALID;
  auto told = std::make_shared<Events>(host_, events, argument);
  if (!told->has_on_message()) return APPSERVER_INVALID;
  if (!connector_ || closing_) return APPSERVER_GONE;
  connect = connector_->start(string_of(url), to_options(options), std::move(told));
  return connect == 0 ? APPSERVER_LIMIT : APPSERVER_OK;
}

std::int32_t ConnectHost::cancel(appserver_connect connect) {
  if (!host_.on_loop()) return APPSERVER_INVALID;
  return connector_ && connector_->cancel(connect) ? APPSERVER_OK : APPSERVER_NOT_FOUND;
}

void ConnectHost::close() {
  if (std::exchange(closing_, true) || !connector_) return;
  connector_->stop();
  streams_->close_outbound();
}

void ConnectHost::stop() {
  close();
  if (streams_ != nullptr) streams_->cut_outbound();
}

const appserver_connect_host& connect_host_table() {
  static const appserver_connect_host kTable = {
      sizeof(appserver_connect_host),
      0,
      [](appserver_worker* worker, appserver_str url, const appserver_connect_options* options,
         const appserver_connect_events* events, void* argument,
         appserver_connect* connect) noexcept -> std::int32_t {
        if (events == nullptr || connect == nullptr) return APPSERVER_INVALID;
        return worker->host.connects().begin(url, options, *events, argument, *connect);
      },
      [](appserver_worker* worker, appserver_connect connect) noexcept -> std::int32_t {
        return worker->host.connects().cancel(connect);
      },
  };
  return kTable;
}

}  // namespace appserver::worker
