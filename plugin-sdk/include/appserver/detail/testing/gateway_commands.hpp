// What a gateway in memory does of what business workers ask of it, as a gateway worker does it.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>
#include <appserver/abi/stream.h>

#include <algorithm>
#include <appserver/detail/testing/shared_gateway.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace appserver::testing {

// Whether it is one at all; else a host gives INVALID.
inline bool is_gateway_command(const appserver_gateway_command& command) noexcept {
  constexpr std::size_t kMostBody = std::size_t{32} << 20;
  constexpr std::uint32_t kMostCode = 65535;
  constexpr auto kMost = APPSERVER_GATEWAY_NAMED_MAX;
  if (command.verb < APPSERVER_VERB_SEND || command.verb > APPSERVER_VERB_GROUPS) return false;
  if (command.scope > APPSERVER_SCOPE_GROUPS) return false;
  if (command.message_kind > APPSERVER_MESSAGE_TEXT || command.code > kMostCode) return false;
  if (command.client_count > kMost || command.name_count > kMost || command.except_count > kMost)
    return false;
  if (command.name.size > APPSERVER_GATEWAY_NAME_MAX || command.body.size > kMostBody) return false;
  return std::all_of(command.names, command.names + command.name_count,
                     [](appserver_str name) { return name.size <= APPSERVER_GATEWAY_NAME_MAX; });
}

inline GatewayResult SharedGateway::run(GatewayMember& member, const Command& command) {
  GatewayResult result;
  switch (command.verb) {
    case APPSERVER_VERB_SEND:
      send(member, command);
      result.number = targets(command).size();
      break;
    case APPSERVER_VERB_CLOSE:
      close(member, command);
      break;
    case APPSERVER_VERB_DESTROY:
      for (const auto& client : targets(command)) client->served.aborted = true;
      break;
    case APPSERVER_VERB_UNGROUP:
      ungroup(detail::view(command.name));
      break;
    case APPSERVER_VERB_SESSION:
    case APPSERVER_VERB_CLIENTS:
      return records(command);
    case APPSERVER_VERB_COUNT:
      result.number = targets(command).size();
      break;
    case APPSERVER_VERB_UIDS:
    case APPSERVER_VERB_GROUPS:
      return names(command);
    default:
      return change(command);
  }
  return result;
}

// Each that is connected once.
inline SharedGateway::List SharedGateway::targets(const Command& command) const {
  const auto is_named = [&](const KeptClient& client) {
    return std::any_of(command.names, command.names + command.name_count, [&](appserver_str name) {
      return command.scope == APPSERVER_SCOPE_UIDS
                 ? !client.uid.empty() && client.uid == detail::view(name)
                 : client.groups.contains(detail::view(name));
    });
  };
  const auto is_meant = [&](const KeptClient& client) {
    if (command.scope == APPSERVER_SCOPE_ALL) return true;
    if (command.scope != APPSERVER_SCOPE_CLIENTS) return is_named(client);
    return std::any_of(command.clients, command.clients + command.client_count,
                       [&](appserver_client_id id) { return ClientId(id) == ClientId(client.id); });
  };
  List found;
  for (const auto& [serial, client] : clients_) {
    if (client->is_connected() && is_meant(*client)) found.push_back(client);
  }
  return found;
}

inline void SharedGateway::send(GatewayMember& member, const Command& command) {
  const std::string_view message = detail::view(command.body);
  const bool is_text = command.message_kind == APPSERVER_MESSAGE_TEXT;
  for (const auto& client : targets(command)) {
    const bool is_left_out =
        std::any_of(command.except, command.except + command.except_count,
                    [&](appserver_client_id id) { return ClientId(id) == ClientId(client->id); });
    Served& served = client->served;
    if (is_left_out || is_ending(served)) continue;
    const Protocol protocol = served.wire->protocol;
    if (served.full) {
      member.complain("a client is cut that does not take what is sent to it (limits.send_buffer)");
      served.aborted = true;
    } else if (message.size() > client->max_message ||
               !can_be_message(protocol, is_text, message)) {
      member.complain(
          "business code sends what a client's protocol cannot carry, or what is over "
          "limits.max_message: it is dropped");
    } else {
      const bool as_text =
          protocol == Protocol::kText || (protocol == Protocol::kWebSocket && is_text);
      served.pending.push_back({std::string(message), as_text});
      served.unsent += framed_size(protocol, message.size());
      served.full = served.unsent >= client->send_buffer;
    }
  }
}

inline void SharedGateway::close(GatewayMember& member, const Command& command) {
  const std::uint32_t code = command.code == 0 ? 1000 : command.code;
  const std::string_view reason = detail::view(command.body);
  for (const auto& client : targets(command)) {
    Served& served = client->served;
    if (served.wire->protocol == Protocol::kWebSocket && !may_close_with(code, reason)) {
      member.complain(
          "business code closes a WebSocket with a code or reason that may not be sent: it stays "
          "open");
      continue;
    }
    if (std::exchange(served.closing, true)) continue;
    served.code = static_cast<std::uint16_t>(code);
    served.told = reason;
  }
}

inline void SharedGateway::ungroup(std::string_view group) {
  for (const auto& [serial, client] : clients_) {
    const auto found = client->groups.find(group);
    if (found != client->groups.end()) client->groups.erase(found);
  }
}

inline std::int32_t SharedGateway::change(KeptClient& client, const Command& command,
                                          std::uint64_t& version) {
  const std::string name(detail::view(command.name));
  const bool is_name = !name.empty() && name.size() <= APPSERVER_GATEWAY_NAME_MAX;
  switch (command.verb) {
    case APPSERVER_VERB_BIND_UID:
      if (!is_name) return APPSERVER_GATEWAY_INVALID;
      client.uid = name;
      return APPSERVER_OK;
    case APPSERVER_VERB_UNBIND_UID:
      client.uid.clear();
      return APPSERVER_OK;
    case APPSERVER_VERB_JOIN_GROUP:
      if (!is_name) return APPSERVER_GATEWAY_INVALID;
      if (!client.groups.contains(name) && client.groups.size() >= kMostGroups)
        return APPSERVER_GATEWAY_FULL;
      client.groups.insert(name);
      return APPSERVER_OK;
    case APPSERVER_VERB_LEAVE_GROUP:
      if (!is_name) return APPSERVER_GATEWAY_INVALID;
      client.groups.erase(name);
      return APPSERVER_OK;
    default:
      break;
  }
  version = client.session_version;
  if (command.body.size > APPSERVER_GATEWAY_SESSION_MAX) return APPSERVER_GATEWAY_INVALID;
  if (command.has_expected != 0 && command.expected != client.session_version)
    return APPSERVER_GATEWAY_CONFLICT;
  client.session = detail::view(command.body);
  version = ++client.session_version;
  return APPSERVER_OK;
}

inline GatewayResult SharedGateway::change(const Command& command) {
  GatewayResult result;
  const List clients = targets(command);
  if (clients.empty() && command.scope == APPSERVER_SCOPE_CLIENTS)
    result.status = APPSERVER_GATEWAY_NO_CLIENT;
  const bool of_uid =
      command.verb == APPSERVER_VERB_BIND_UID || command.verb == APPSERVER_VERB_UNBIND_UID;
  for (const auto& client : clients) {
    const std::int32_t status = change(*client, command, result.number);
    if (status != APPSERVER_OK) result.status = status;
    if (status == APPSERVER_OK && of_uid && client->with != nullptr) client->with->changed(*client);
  }
  return result;
}

inline GatewayResult SharedGateway::records(const Command& command) const {
  constexpr std::size_t kRecord = 32;
  GatewayResult result;
  const bool with_sessions = command.with_sessions != 0 || command.verb == APPSERVER_VERB_SESSION;
  std::size_t bytes = 0;
  for (const auto& client : targets(command)) {
    GatewayResult::Record record{client->id, client->uid, {}, 0};
    if (with_sessions) {
      record.session = client->session;
      record.session_version = client->session_version;
    }
    bytes += kRecord + record.uid.size() + record.session.size();
    result.clients.push_back(std::move(record));
  }
  if (bytes <= kMostAnswer) return result;
  return {.status = APPSERVER_GATEWAY_TOO_LARGE};
}

inline GatewayResult SharedGateway::names(const Command& command) const {
  constexpr std::size_t kName = 16;
  GatewayResult result;
  for (const auto& client : targets(command)) {
    if (command.verb == APPSERVER_VERB_GROUPS) {
      for (const std::string& group : client->groups) ++result.names[group];
    } else if (!client->uid.empty()) {
      ++result.names[client->uid];
    }
  }
  std::size_t bytes = 0;
  for (const auto& [name, count] : result.names) bytes += kName + name.size();
  if (bytes <= kMostAnswer) return result;
  return {.status = APPSERVER_GATEWAY_TOO_LARGE};
}

}  // namespace appserver::testing
