// The clients of one gateway worker: their sessions, and the index of uids and groups. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace appserver::gateway {

// Of a client, within the gateway worker that holds it; never reused. 0 is none.
using Serial = std::uint64_t;

enum class TableResult : std::uint8_t {
  ok = 0,
  no_client = 1,
  conflict = 2,   // the session is of another version
  invalid = 3,    // a name that is empty or over kMaxName, a session over kMaxSession
  full = 4,       // the client is in kMaxGroups groups
  too_large = 5,  // the answer would be over kMaxAnswer (link_message.hpp)
};

class ClientTable final {
 public:
  static constexpr std::size_t kMaxName = 255;  // of a uid or group; at least 1
  static constexpr std::size_t kMaxSession = std::size_t{64} << 10;
  static constexpr std::size_t kMaxGroups = 256;  // that one client is in

  // Opaque bytes of the business code. The version is 0 until they are set, and is never one that
  // the client's session had before.
  struct Session {
    std::string bytes;
    std::uint64_t version = 0;
  };

  ClientTable() = default;
  ClientTable(const ClientTable&) = delete;
  ClientTable& operator=(const ClientTable&) = delete;

  // `connection`: that the client speaks over. The serial is one that was never added.
  void add(Serial client, std::uint64_t connection);
  // It leaves its uid and groups.
  void remove(Serial client);
  bool contains(Serial client) const { return clients_.contains(client); }
  std::size_t size() const { return clients_.size(); }
  std::optional<std::uint64_t> connection(Serial client) const;

  // A client has one uid at most: the new one replaces what it had. A uid has any number of
  // clients.
  TableResult bind_uid(Serial client, std::string_view uid);
  TableResult unbind_uid(Serial client);
  // Empty: none. Until the next change.
  std::string_view uid(Serial client) const;

  // ok also where it is, or is not, in the group already.
  TableResult join(Serial client, std::string_view group);
  TableResult leave(Serial client, std::string_view group);
  // All leave it.
  void ungroup(std::string_view group);
  std::vector<std::string_view> groups_of(Serial client) const;

  // With `expected` only where the session has that version.
  TableResult set_session(Serial client, std::string_view bytes,
                          std::optional<std::uint64_t> expected);
  // Null: no such client. Until the next change.
  const Session* session(Serial client) const;

  // Each client once, in no order.
  std::vector<Serial> all() const;
  std::vector<Serial> of_uids(const std::vector<std::string_view>& uids);
  std::vector<Serial> of_groups(const std::vector<std::string_view>& groups);
  std::size_t count_of_uid(std::string_view uid) const { return size_of(uids_, uid); }
  std::size_t count_of_group(std::string_view group) const { return size_of(groups_, group); }

  // In no order; until the next change.
  std::vector<std::string_view> uids() const { return names_of(uids_); }
  std::vector<std::string_view> groups() const { return names_of(groups_); }

 private:
  struct Client;
  // A client's place in a uid or group; each of the two knows where the other one holds it.
  struct Member {
    Client* client;
    std::size_t place;  // in client->groups; not used of a uid
  };
  struct Set {
    std::vector<Member> members;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Sets = std::unordered_map<std::string, Set, Hash, std::equal_to<>>;
  struct Membership {
    Sets::value_type* set;  // null: none
    std::size_t place;      // in set->second.members
  };
  struct Client {
    Serial serial = 0;
    std::uint64_t connection = 0;
    std::uint64_t mark = 0;  // of the last collection that it is in
    Session session;
    Membership uid{nullptr, 0};
    std::vector<Membership> groups;
  };

  static bool is_name(std::string_view name) { return !name.empty() && name.size() <= kMaxName; }
  static std::size_t size_of(const Sets& sets, std::string_view name);
  static std::vector<std::string_view> names_of(const Sets& sets);
  static Membership enter(Sets& sets, std::string_view name, Client& client, std::size_t place);
  static void drop_if_empty(Sets& sets, const Sets::value_type& set);
  void forget_uid(Client& client);
  void forget_group(Client& client, std::size_t place);
  Client* find(Serial client);
  const Client* find(Serial client) const;
  std::vector<Serial> collect(const Sets& sets, const std::vector<std::string_view>& names);

  std::unordered_map<Serial, Client> clients_;
  Sets uids_;
  Sets groups_;
  std::uint64_t collections_ = 0;
};

}  // namespace appserver::gateway
