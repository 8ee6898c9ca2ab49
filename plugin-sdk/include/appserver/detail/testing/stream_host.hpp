// "stream/1" of a host in memory: connections whose other end the test holds.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/stream.h>

#include <algorithm>
#include <appserver/connection.hpp>
#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/http_host.hpp>
#include <appserver/detail/testing/served.hpp>
#include <appserver/detail/testing/wire.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// What runs in turn(): deliveries, what was sent, on_buffer_*, ends. Never within a call of the
// plugin's, as abi/stream.h promises.
class StreamHost final : public Extension {
 public:
  static constexpr const char* kName = APPSERVER_STREAM;
  static const void* table() noexcept {
    static constexpr appserver_stream_host kTable{sizeof(appserver_stream_host),
                                                  0,
                                                  &send,
                                                  &close,
                                                  &abort,
                                                  &pause,
                                                  &resume,
                                                  &set_context,
                                                  &context,
                                                  &info,
                                                  &pipe};
    return &kTable;
  }
  using Extension::Extension;

  void attach(const appserver_plugin& plugin, void* self) override {
    plugin_ = read_table<appserver_stream_plugin>(plugin, kName);
    self_ = self;
  }
  void detach() override { self_ = nullptr; }

  // Opens it; a WebSocket by this request. Throws std::logic_error where the plugin serves none.
  void connect(const std::shared_ptr<Wire>& wire, const HttpRequest& request) {
    if (self_ == nullptr || plugin_.on_message == nullptr)
      throw std::logic_error("a connection to a plugin that has no on_message, or has ended");
    Served& served = add(wire);
    served.in_turn = true;
    if (wire->protocol == Protocol::kWebSocket && plugin_.on_websocket_open != nullptr) {
      open_websocket(served, request);
    } else {
      served.known = plugin_.on_connect == nullptr ||
                     succeeds("on_connect", [&] { return plugin_.on_connect(self_, served.id); });
      if (!served.known) served.aborted = true;
    }
    served.in_turn = false;
  }

  // The plugin has opened it. A result other than OK ends it.
  void open(const std::shared_ptr<Wire>& wire, std::shared_ptr<OutboundHooks> hooks) {
    Served& served = add(wire);
    served.outbound = std::move(hooks);
    served.known = served.in_turn = true;
    const auto keep = served.outbound;
    if (!succeeds("on_open", [&] { return keep->on_open(served.id); })) {
      served.why = "on_open failed";
      served.aborted = true;
    }
    served.in_turn = false;
  }

  bool turn() override {
    bool any = false;
    for (const appserver_connection id : ids()) {
      if (Served* const served = find_ending(id)) any = turn(*served) || any;
    }
    return any;
  }

  // All that can go to the other host, with what the plugin's on_handover gives; the rest ends.
  void hand_over(Extension& successor) override {
    for (const appserver_connection id : ids()) move(id, dynamic_cast<StreamHost&>(successor));
  }
  // One of them.
  void move(appserver_connection id, StreamHost& successor) {
    Served* const served = find(id);
    if (served == nullptr || is_ending(*served)) return;
    if (served->outbound) return;
    if (const auto state = state_of(*served)) {
      const std::unique_ptr<Served> moved = std::move(served_.extract(id).mapped());
      successor.adopt(*moved, *state);
    } else {
      end_politely(*served);
    }
  }
  void drain() override {
    for (const appserver_connection id : ids()) {
      if (Served* const served = find(id)) end_politely(*served);
    }
    while (turn()) continue;
    for (const appserver_connection id : ids()) {
      if (Served* const served = find(id)) finish(*served, APPSERVER_CLOSED_DRAINED, {});
    }
  }

  // A name for it, as the plugin's hooks get one; of none where it has moved or ended.
  Connection connection(appserver_connection id) {
    if (find(id) == nullptr) return {};
    return {static_cast<const appserver_stream_host*>(table()), core().worker(), id};
  }

  // The client has reset it.
  void fail(appserver_connection id) {
    if (Served* const served = find(id))
      finish(*served, APPSERVER_CLOSED_FAILURE, "Connection reset by peer");
  }

  // Runs the loop of the host that this is of.
  void run() { core().run(); }

  // Of clients.
  std::size_t connections() const {
    return static_cast<std::size_t>(std::count_if(
        served_.begin(), served_.end(), [](const auto& each) { return !each.second->outbound; }));
  }

 private:
  static StreamHost& of(appserver_worker* worker) {
    return Core::of(worker).extension<StreamHost>();
  }
  std::vector<appserver_connection> ids() const {
    std::vector<appserver_connection> all;
    for (const auto& each : served_) all.push_back(each.first);
    return all;
  }
  Served* find_ending(appserver_connection id) {
    const auto found = served_.find(id);
    return found == served_.end() ? nullptr : found->second.get();
  }
  Served* find(appserver_connection id) {
    Served* const found = find_ending(id);
    return found == nullptr || found->closed ? nullptr : found;
  }

  Served& add(const std::shared_ptr<Wire>& wire) {
    const appserver_connection id = ++last_;
    auto& made = served_[id] = std::make_unique<Served>();
    made->wire = wire;
    made->id = wire->id = id;
    wire->host = this;
    return *made;
  }

  template <class Hook>
  std::int32_t result_of(const char* name, Hook&& hook) {
    core().forget_error();
    const std::int32_t result = hook();
    if (result != APPSERVER_OK) core().log_failure(name);
    return result;
  }
  template <class Hook>
  bool succeeds(const char* name, Hook&& hook) {
    return result_of(name, std::forward<Hook>(hook)) == APPSERVER_OK;
  }

  void open_websocket(Served& served, const HttpRequest& request) {
    const RawRequest raw(request);
    appserver_websocket_answer answer{};
    answer.size = sizeof(answer);
    const bool answered = succeeds("on_websocket_open", [&] {
      return plugin_.on_websocket_open(self_, served.id, &raw.raw(), &answer);
    });
    Wire& wire = *served.wire;
    const std::string protocol(detail::view(answer.protocol));
    const auto names = offered_protocols(request);
    const bool refuses = answer.status >= 400 && answer.status <= 599;
    const bool chose_well =
        protocol.empty() || std::find(names.begin(), names.end(), protocol) != names.end();
    if (answered && answer.status == 0 && chose_well) {
      served.known = true;
      wire.subprotocol = protocol;
      return;
    }
    if (answered && !refuses)
      core().write_log(APPSERVER_LOG_ERROR, "on_websocket_open gave an answer that cannot be");
    wire.refused = answered && refuses ? answer.status : 500;
    wire.refusal = answered && refuses ? std::string(detail::view(answer.body)) : "";
    served.pending.clear();
    served.unsent = 0;
    served.closing = true;
  }

  // Nullopt: it stays, and is ended politely.
  std::optional<std::string> state_of(Served& served) {
    const bool piped = served.pipe_to != 0 || served.piped_from != 0 || served.outbound;
    if (piped || plugin_.on_handover == nullptr || plugin_.on_adopt == nullptr) return std::nullopt;
    appserver_str state{};
    if (!succeeds("on_handover", [&] { return plugin_.on_handover(self_, served.id, &state); }) ||
        is_ending(served))
      return std::nullopt;
    if (state.size <= APPSERVER_HANDOVER_STATE_MAX) return std::string(detail::view(state));
    core().write_log(APPSERVER_LOG_ERROR, "on_handover gave more than can go along");
    return std::nullopt;
  }

  void adopt(Served& moved, const std::string& state) {
    Served& served = add(moved.wire);
    served.pending = std::move(moved.pending);
    served.unsent = moved.unsent;
    served.paused = moved.paused;
    served.full = served.unsent >= core().options().send_buffer;
    served.in_turn = true;
    if (plugin_.on_adopt == nullptr) {
      core().write_log(APPSERVER_LOG_WARNING,
                       "a connection came from the predecessor, but this "
                       "build has no on_adopt: closed");
    } else {
      served.known = succeeds(
          "on_adopt", [&] { return plugin_.on_adopt(self_, served.id, detail::str(state)); });
    }
    served.in_turn = false;
    if (!served.known) end_politely(served);
  }

  bool may_deliver(const Served& served) {
    const Served* const sink = served.pipe_to == 0 ? nullptr : find(served.pipe_to);
    return !served.paused && !served.full && !is_ending(served) && (sink == nullptr || !sink->full);
  }

  // In stream_turns.hpp. Whether anything happened:
  bool turn(Served& served);
  bool flush(Served& served);
  bool check_buffer(Served& served);
  // The client's end of the connection is seen behind all that it has sent.
  void hear_close(Served& served);
  // A WebSocket's client answers with the same code.
  static void tell_close(Served& served);
  // Whether there was a whole message.
  bool deliver_next(Served& served);
  bool deliver_bytes(Served& served);
  bool deliver_piped(Served& served);
  void deliver(Served& served, const std::string& message, bool is_text);

  static void refuse(Served& served, std::uint32_t reason, const char* why, std::uint16_t code) {
    served.reason = reason;
    served.why = why;
    served.code = code;
    served.closing = true;
  }

  void append(Served& served, std::string_view bytes, bool is_text) {
    served.pending.push_back({std::string(bytes), is_text});
    served.unsent += framed_size(served.wire->protocol, bytes.size());
    if (served.unsent >= core().options().send_buffer) served.full = true;
  }

  void finish(Served& served, std::uint32_t reason, const std::string& why) {
    served.closed = true;
    Wire& wire = *served.wire;
    wire.host = nullptr;
    for (const appserver_connection other : {served.pipe_to, served.piped_from}) {
      if (Served* const found = find(other)) found->closing = true;
    }
    const std::uint32_t code = wire.protocol == Protocol::kWebSocket ? wire.client_code : 0;
    if (const auto hooks = served.outbound) {
      hooks->on_close(served.id, reason, code, detail::str(why));
    } else if (served.known && plugin_.on_close != nullptr) {
      plugin_.on_close(self_, served.id, reason, code, detail::str(why));
    }
    served_.erase(served.id);
  }

  // The functions of the table. call(StreamHost&, Served&), where it may be.
  template <class Call>
  static std::int32_t with(appserver_worker* worker, appserver_connection id, Call&& call) {
    if (!Core::of(worker).on_loop()) return APPSERVER_INVALID;
    StreamHost& host = of(worker);
    Served* const found = host.find(id);
    return found == nullptr ? APPSERVER_GONE : call(host, *found);
  }

  static std::int32_t send(appserver_worker* worker, appserver_connection id, std::uint32_t kind,
                           appserver_str str) noexcept {
    return with(worker, id, [&](StreamHost& host, Served& served) {
      const std::string_view message = detail::view(str);
      const bool is_text = kind == APPSERVER_MESSAGE_TEXT;
      const Protocol protocol = served.wire->protocol;
      if (is_ending(served)) return APPSERVER_GONE;
      if (served.full) return APPSERVER_LIMIT;
      if (kind > APPSERVER_MESSAGE_TEXT || message.size() > host.core().options().max_message ||
          !can_be_message(protocol, is_text, message))
        return APPSERVER_INVALID;
      host.append(served, message,
                  protocol == Protocol::kText || (protocol == Protocol::kWebSocket && is_text));
      return APPSERVER_OK;
    });
  }
  static std::int32_t close(appserver_worker* worker, appserver_connection id, std::uint32_t code,
                            appserver_str reason) noexcept {
    return with(worker, id, [&](StreamHost&, Served& served) {
      const std::uint32_t said = code == 0 ? 1000 : code;
      const bool websocket = served.wire->protocol == Protocol::kWebSocket;
      if (websocket && !may_close_with(said, detail::view(reason))) return APPSERVER_INVALID;
      if (!served.closing) {
        served.code = static_cast<std::uint16_t>(said);
        served.told = detail::view(reason);
      }
      served.closing = true;
      return APPSERVER_OK;
    });
  }
  static std::int32_t abort(appserver_worker* worker, appserver_connection id) noexcept {
    return with(worker, id, [](StreamHost&, Served& served) {
      served.aborted = true;
      return APPSERVER_OK;
    });
  }
  static std::int32_t set_paused(appserver_worker* worker, appserver_connection id, bool paused) {
    return with(worker, id, [paused](StreamHost&, Served& served) {
      served.paused = paused;
      return APPSERVER_OK;
    });
  }
  static std::int32_t pause(appserver_worker* worker, appserver_connection id) noexcept {
    return set_paused(worker, id, true);
  }
  static std::int32_t resume(appserver_worker* worker, appserver_connection id) noexcept {
    return set_paused(worker, id, false);
  }

  static std::int32_t set_context(appserver_worker* worker, appserver_connection id,
                                  void* context) noexcept {
    if (!Core::of(worker).on_loop()) return APPSERVER_INVALID;
    Served* const found = of(worker).find_ending(id);
    if (found == nullptr) return APPSERVER_GONE;
    found->context = context;
    return APPSERVER_OK;
  }
  static void* context(appserver_worker* worker, appserver_connection id) noexcept {
    const Served* const found = Core::of(worker).on_loop() ? of(worker).find_ending(id) : nullptr;
    return found == nullptr ? nullptr : found->context;
  }

  static std::int32_t info(appserver_worker* worker, appserver_connection id,
                           appserver_connection_info* info) noexcept {
    return with(worker, id, [info](StreamHost&, Served& served) {
      describe(served, *info);
      return APPSERVER_OK;
    });
  }

  bool can_be_piped(const Served& served) const {
    const bool own = plugin_.measure != nullptr && !served.outbound;
    return served.wire->protocol == Protocol::kTcp && !own && !is_ending(served);
  }
  static std::int32_t pipe(appserver_worker* worker, appserver_connection from,
                           appserver_connection to) noexcept {
    return with(worker, from, [&](StreamHost& host, Served& source) {
      Served* const sink = host.find(to);
      if (sink == nullptr) return APPSERVER_GONE;
      if (sink == &source || !host.can_be_piped(source) || !host.can_be_piped(*sink))
        return APPSERVER_INVALID;
      source.pipe_to = to;
      sink->piped_from = from;
      return APPSERVER_OK;
    });
  }

  appserver_stream_plugin plugin_{};
  void* self_ = nullptr;
  std::map<appserver_connection, std::unique_ptr<Served>> served_;
  appserver_connection last_ = 0;
};

}  // namespace appserver::testing

#include <appserver/detail/testing/stream_turns.hpp>
