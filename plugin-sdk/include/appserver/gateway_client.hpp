// The client of a gateway that a hook is about.
#pragma once

#include <appserver/abi/gateway.h>

#include <appserver/client_id.hpp>
#include <appserver/connection.hpp>
#include <appserver/detail/gateway_set.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/gateway.hpp>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace appserver {

// From GatewayClient::hold: the event at hand counts as handled once this is gone. Until then
// another worker gets the event, marked redelivered, if this one ends. Loop thread only. May
// outlive the plugin, then it is inert.
class [[nodiscard]] EventHold {
 public:
  EventHold() = default;
  explicit EventHold(std::shared_ptr<detail::HeldEvent> event) noexcept
      : event_(std::move(event)) {}

  // The same as its end.
  void acknowledge() noexcept { event_.reset(); }

 private:
  std::shared_ptr<detail::HeldEvent> event_;
};

// The client that a hook is about. Valid until the hook returns; id() is what to keep.
class GatewayClient {
 public:
  GatewayClient(Gateway& gateway, appserver_client_id id, detail::EventAtHand& event) noexcept
      : gateway_(gateway), id_(id), event_(event) {}
  GatewayClient(const GatewayClient&) = delete;
  GatewayClient& operator=(const GatewayClient&) = delete;

  ClientId id() const noexcept { return ClientId(id_); }
  Gateway& gateway() const noexcept { return gateway_; }

  // "websocket", "tcp", "text" or "frame"; as in ConnectionInfo, like the next three. Views of it
  // are valid until the hook returns, here and below.
  std::string_view protocol() const { return detail::view(info().protocol); }
  std::string_view remote() const { return detail::view(info().remote); }
  std::string_view local() const { return detail::view(info().local); }
  std::string_view listener() const { return detail::view(info().listener); }
  // These are valid until this worker gives it another one. What others have changed is told with
  // its next event.
  std::string_view uid() const { return detail::view(info().uid); }  // empty: none
  std::string_view session() const { return detail::view(info().session); }
  // With it as of this event: after set_session in this hook still that of before.
  std::uint64_t session_version() const { return info().session_version; }

  // A worker that has ended may have seen this event before, and may have acted on it.
  bool redelivered() const noexcept { return event_.event->redelivered != 0; }

  // The event counts as handled when what this gives is gone, not when the hook returns. May be
  // called again. A client of whom 64 events are held gets no more until one is let go.
  EventHold hold() { return EventHold(gateway_.set().hold(event_)); }

  // See Gateway.
  bool send(std::string_view message) const { return gateway_.send_to_client(id(), message); }
  bool send_binary(std::string_view message) const {
    return gateway_.send_binary(Audience::client(id()), message);
  }
  bool send(Message message) const {
    return message.is_text() ? send(std::string_view(message)) : send_binary(message);
  }
  bool close(std::uint16_t code = 1000, std::string_view reason = {}) const {
    return gateway_.close_client(id(), code, reason);
  }
  bool destroy() const { return gateway_.destroy_client(id()); }
  bool bind_uid(std::string_view uid) const { return gateway_.bind_uid(id(), uid); }
  bool unbind_uid() const { return gateway_.unbind_uid(id()); }
  bool join_group(std::string_view group) const { return gateway_.join_group(id(), group); }
  bool leave_group(std::string_view group) const { return gateway_.leave_group(id(), group); }
  bool set_session(std::string_view session) const { return gateway_.set_session(id(), session); }

 private:
  // All empty where nothing is known.
  appserver_client_info info() const { return gateway_.set().info(id_); }

  Gateway& gateway_;
  appserver_client_id id_;
  detail::EventAtHand& event_;
};

}  // namespace appserver
