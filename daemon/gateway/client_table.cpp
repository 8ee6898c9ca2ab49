#include "gateway/client_table.hpp"

#include <algorithm>
#include <utility>

namespace appserver::gateway {

void ClientTable::add(Serial client, std::uint64_t connection) {
  Client& fresh = clients_[client];
  fresh.serial = client;
  fresh.connection = connection;
}

void ClientTable::remove(Serial client) {
  Client* const found = find(client);
  if (found == nullptr) return;
  forget_uid(*found);
  while (!found->groups.empty()) forget_group(*found, found->groups.size() - 1);
  clients_.erase(client);
}

std::optional<std::uint64_t> ClientTable::connection(Serial client) const {
  const Client* const found = find(client);
  if (found == nullptr) return std::nullopt;
  return found->connection;
}

TableResult ClientTable::bind_uid(Serial client, std::string_view uid) {
  if (!is_name(uid)) return TableResult::invalid;
  Client* const found = find(client);
  if (found == nullptr) return TableResult::no_client;
  if (found->uid.set != nullptr && found->uid.set->first == uid) return TableResult::ok;
  forget_uid(*found);
  found->uid = enter(uids_, uid, *found, 0);
  return TableResult::ok;
}

TableResult ClientTable::unbind_uid(Serial client) {
  Client* const found = find(client);
  if (found == nullptr) return TableResult::no_client;
  forget_uid(*found);
  return TableResult::ok;
}

std::string_view ClientTable::uid(Serial client) const {
  const Client* const found = find(client);
  if (found == nullptr || found->uid.set == nullptr) return {};
  return found->uid.set->first;
}

TableResult ClientTable::join(Serial client, std::string_view group) {
  if (!is_name(group)) return TableResult::invalid;
  Client* const found = find(client);
  if (found == nullptr) return TableResult::no_client;
  const bool is_in = std::ranges::any_of(
      found->groups, [&](const Membership& held) { return held.set->first == group; });
  if (is_in) return TableResult::ok;
  if (found->groups.size() >= kMaxGroups) return TableResult::full;
  found->groups.push_back(enter(groups_, group, *found, found->groups.size()));
  return TableResult::ok;
}

TableResult ClientTable::leave(Serial client, std::string_view group) {
  if (!is_name(group)) return TableResult::invalid;
  Client* const found = find(client);
  if (found == nullptr) return TableResult::no_client;
  const auto held = std::ranges::find_if(
      found->groups, [&](const Membership& each) { return each.set->first == group; });
  if (held != found->groups.end())
    forget_group(*found, static_cast<std::size_t>(held - found->groups.begin()));
  return TableResult::ok;
}

void ClientTable::ungroup(std::string_view group) {
  const auto found = groups_.find(group);
  if (found == groups_.end()) return;
  // The set goes with its last member.
  for (std::size_t left = found->second.members.size(); left > 0; --left) {
    const Member last = found->second.members.back();
    forget_group(*last.client, last.place);
  }
}

std::vector<std::string_view> ClientTable::groups_of(Serial client) const {
  std::vector<std::string_view> names;
  const Client* const found = find(client);
  if (found == nullptr) return names;
  for (const Membership& held : found->groups) names.emplace_back(held.set->first);
  return names;
}

TableResult ClientTable::set_session(Serial client, std::string_view bytes,
                                     std::optional<std::uint64_t> expected) {
  if (bytes.size() > kMaxSession) return TableResult::invalid;
  Client* const found = find(client);
  if (found == nullptr) return TableResult::no_client;
  if (expected && *expected != found->session.version) return TableResult::conflict;
  found->session.bytes = bytes;
  ++found->session.version;
  return TableResult::ok;
}

const ClientTable::Session* ClientTable::session(Serial client) const {
  const Client* const found = find(client);
  return found == nullptr ? nullptr : &found->session;
}

std::vector<Serial> ClientTable::all() const {
  std::vector<Serial> serials;
  serials.reserve(clients_.size());
  for (const auto& [serial, client] : clients_) serials.push_back(serial);
  return serials;
}

std::vector<Serial> ClientTable::of_uids(const std::vector<std::string_view>& uids) {
  return collect(uids_, uids);
}

std::vector<Serial> ClientTable::of_groups(const std::vector<std::string_view>& groups) {
  return collect(groups_, groups);
}

std::size_t ClientTable::size_of(const Sets& sets, std::string_view name) {
  const auto found = sets.find(name);
  return found == sets.end() ? 0 : found->second.members.size();
}

std::vector<std::string_view> ClientTable::names_of(const Sets& sets) {
  std::vector<std::string_view> names;
  names.reserve(sets.size());
  for (const auto& [name, set] : sets) names.emplace_back(name);
  return names;
}

ClientTable::Membership ClientTable::enter(Sets& sets, std::string_view name, Client& client,
                                           std::size_t place) {
  auto found = sets.find(name);
  if (found == sets.end()) found = sets.emplace(std::string(name), Set{}).first;
  found->second.members.push_back({&client, place});
  return {&*found, found->second.members.size() - 1};
}

void ClientTable::drop_if_empty(Sets& sets, const Sets::value_type& set) {
  if (set.second.members.empty()) sets.erase(sets.find(set.first));
}

void ClientTable::forget_uid(Client& client) {
  const Membership held = std::exchange(client.uid, {nullptr, 0});
  if (held.set == nullptr) return;
  auto& members = held.set->second.members;
  members[held.place] = members.back();
  members[held.place].client->uid.place = held.place;
  members.pop_back();
  drop_if_empty(uids_, *held.set);
}

void ClientTable::forget_group(Client& client, std::size_t place) {
  const Membership held = client.groups[place];
  auto& members = held.set->second.members;
  members[held.place] = members.back();
  const Member& moved = members[held.place];
  moved.client->groups[moved.place].place = held.place;
  members.pop_back();
  client.groups[place] = client.groups.back();
  client.groups.pop_back();
  if (place < client.groups.size()) {
    const Membership& other = client.groups[place];
    other.set->second.members[other.place].place = place;
  }
  drop_if_empty(groups_, *held.set);
}

ClientTable::Client* ClientTable::find(Serial client) {
  const auto found = clients_.find(client);
  return found == clients_.end() ? nullptr : &found->second;
}

const ClientTable::Client* ClientTable::find(Serial client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? nullptr : &found->second;
}

std::vector<Serial> ClientTable::collect(const Sets& sets,
                                         const std::vector<std::string_view>& names) {
  std::vector<Serial> serials;
  ++collections_;
  for (const std::string_view name : names) {
    const auto found = sets.find(name);
    if (found == sets.end()) continue;
    for (const Member& member : found->second.members) {
      if (std::exchange(member.client->mark, collections_) != collections_)
        serials.push_back(member.client->serial);
    }
  }
  return serials;
}

}  // namespace appserver::gateway
