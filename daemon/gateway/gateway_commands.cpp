// What business workers, and others, ask of a gateway worker.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "gateway/gateway.hpp"

namespace appserver::gateway {
namespace {

// Of one part of an answer, about.
constexpr std::size_t kPartRecords = 1000;
constexpr std::size_t kPartBytes = std::size_t{256} << 10;

std::size_t size_of(const ClientRecord& record) {
  return 32 + record.uid.size() + (record.session ? record.session->bytes.size() : 0);
}
std::size_t size_of(const NamedCount& each) { return 16 + each.name.size(); }

// Splits `records` into answers; `list` is the one of Answer that they are of.
template <class Record>
void in_parts(std::uint64_t request, std::vector<Record> records, std::vector<Record> Answer::*list,
              const std::function<void(const Answer&)>& give) {
  Answer part;
  part.request = request;
  std::size_t bytes = 0;
  for (Record& record : records) {
    if ((part.*list).size() >= kPartRecords || bytes >= kPartBytes) {
      part.more = true;
      give(part);
      (part.*list).clear();
      bytes = 0;
    }
    bytes += size_of(record);
    (part.*list).push_back(std::move(record));
  }
  part.more = false;
  give(part);
}

template <class Record>
std::size_t total_of(const std::vector<Record>& records) {
  std::size_t bytes = 0;
  for (const Record& record : records) bytes += size_of(record);
  return bytes;
}

// `answer` to the command's request.
void give_if_wanted(const Command& command, Answer answer, const Gateway::Give& give) {
  if (command.request == 0) return;
  answer.request = command.request;
  give(answer);
}

void refuse_as_too_large(const Command& command, const Gateway::Give& give) {
  Answer refused;
  refused.result = TableResult::too_large;
  give_if_wanted(command, refused, give);
}

}  // namespace

Gateway::Effect Gateway::run(const Command& command, const Give& give) {
  Effect effect;
  switch (command.verb) {
    case Verb::send:
      effect = send_to(command);
      give_count(command, give);
      return effect;
    case Verb::close:
      effect = close(command);
      break;
    case Verb::destroy:
      effect = destroy(command);
      break;
    case Verb::ungroup:
      effect.clients = table_.count_of_group(command.name);
      table_.ungroup(command.name);
      break;
    case Verb::bind_uid:
    case Verb::unbind_uid:
    case Verb::join_group:
    case Verb::leave_group:
    case Verb::set_session:
      return give_change(command, give);
    case Verb::session:
    case Verb::clients:
      give_clients(command, give);
      return {count_of(command.target), 0};
    case Verb::count:
      give_count(command, give);
      return {count_of(command.target), 0};
    case Verb::uids:
    case Verb::groups:
      give_names(command, give);
      return {count_of(command.target), 0};
  }
  give_if_wanted(command, {}, give);
  return effect;
}

std::vector<Serial> Gateway::targets(const Target& target) {
  switch (target.scope) {
    case Scope::all:
      return table_.all();
    case Scope::uids:
      return table_.of_uids(target.names);
    case Scope::groups:
      return table_.of_groups(target.names);
    case Scope::clients:
      break;
  }
  std::vector<Serial> clients = target.clients;
  std::ranges::sort(clients);
  const auto [first, last] = std::ranges::unique(clients);
  clients.erase(first, last);
  std::erase_if(clients, [this](Serial client) { return !table_.contains(client); });
  return clients;
}

Gateway::Effect Gateway::send_to(const Command& command) {
  Effect effect;
  const std::unordered_set<Serial> except(command.except.begin(), command.except.end());
  for (const Serial client : targets(command.target)) {
    if (except.contains(client)) continue;
    const appserver_connection connection = *table_.connection(client);
    const std::int32_t result = server_->send(connection, command.kind, command.body);
    if (result == APPSERVER_GONE) continue;  // it is closing
    ++effect.clients;
    if (result == APPSERVER_LIMIT) {
      ++cut_;
      complain_("a client is cut that does not take what is sent to it (limits.send_buffer)");
      server_->abort(connection);
    } else if (result == APPSERVER_INVALID) {
      complain_(
          "what a client's protocol cannot carry, or what is over limits.max_message, was sent to "
          "it: it is dropped");
    }
    if (result != APPSERVER_OK) ++effect.failed;
  }
  return effect;
}

Gateway::Effect Gateway::close(const Command& command) {
  Effect effect;
  for (const Serial client : targets(command.target)) {
    ++effect.clients;
    const auto connection = *table_.connection(client);
    if (server_->close(connection, command.code, command.body) != APPSERVER_INVALID) continue;
    ++effect.failed;
    complain_(
        "a WebSocket was to be closed with a code or reason that may not be sent: it stays open");
  }
  return effect;
}

Gateway::Effect Gateway::destroy(const Command& command) {
  const std::vector<Serial> clients = targets(command.target);
  for (const Serial client : clients) server_->abort(*table_.connection(client));
  return {clients.size(), 0};
}

TableResult Gateway::change(Serial client, const Command& command, std::uint64_t& version) {
  switch (command.verb) {
    case Verb::bind_uid:
      return table_.bind_uid(client, command.name);
    case Verb::unbind_uid:
      return table_.unbind_uid(client);
    case Verb::join_group:
      return table_.join(client, command.name);
    case Verb::leave_group:
      return table_.leave(client, command.name);
    default:
      break;
  }
  const TableResult result = table_.set_session(client, command.body, command.expected);
  if (const auto* session = table_.session(client)) version = session->version;
  return result;
}

// Also where that worker itself has asked: what others have changed before may be on its way to it.
// A session goes with the client's next event.
void Gateway::tell_worker_of(Serial client, Verb verb) {
  const LinkId with = router_.link_of(client);
  if ((verb == Verb::bind_uid || verb == Verb::unbind_uid) && with != 0) assign(with, client);
}

Gateway::Effect Gateway::give_change(const Command& command, const Give& give) {
  Effect effect;
  Answer done;
  const auto clients = targets(command.target);
  // Of uids and groups the clients may be with other gateway workers.
  if (clients.empty() && command.target.scope == Scope::clients)
    done.result = TableResult::no_client;
  for (const Serial client : clients) {
    ++effect.clients;
    const TableResult result = change(client, command, done.number);
    if (result != TableResult::ok) {
      done.result = result;
      ++effect.failed;
    } else {
      tell_worker_of(client, command.verb);
    }
  }
  give_if_wanted(command, done, give);
  return effect;
}

void Gateway::give_clients(const Command& command, const Give& give) {
  std::vector<ClientRecord> records;
  for (const Serial client : targets(command.target)) {
    ClientRecord record;
    record.client = client;
    record.uid = table_.uid(client);
    if (command.with_sessions || command.verb == Verb::session) {
      const ClientTable::Session& session = *table_.session(client);
      record.session = SessionView{session.version, session.bytes};
    }
    records.push_back(record);
  }
  if (total_of(records) > kMaxAnswer) {
    refuse_as_too_large(command, give);
  } else if (command.request != 0) {
    in_parts<ClientRecord>(command.request, std::move(records), &Answer::clients, give);
  }
}

std::vector<NamedCount> Gateway::named(const Command& command) {
  const bool of_uids = command.verb == Verb::uids;
  std::vector<NamedCount> names;
  if (command.target.scope == Scope::all) {
    for (const std::string_view name : of_uids ? table_.uids() : table_.groups()) {
      names.push_back({name, of_uids ? table_.count_of_uid(name) : table_.count_of_group(name)});
    }
    return names;
  }
  std::map<std::string_view, std::uint64_t> found;
  for (const Serial client : targets(command.target)) {
    if (of_uids) {
      if (const auto uid = table_.uid(client); !uid.empty()) ++found[uid];
    } else {
      for (const std::string_view group : table_.groups_of(client)) ++found[group];
    }
  }
  for (const auto& [name, count] : found) names.push_back({name, count});
  return names;
}

void Gateway::give_names(const Command& command, const Give& give) {
  std::vector<NamedCount> names = named(command);
  if (total_of(names) > kMaxAnswer) {
    refuse_as_too_large(command, give);
  } else if (command.request != 0) {
    in_parts<NamedCount>(command.request, std::move(names), &Answer::names, give);
  }
}

std::size_t Gateway::count_of(const Target& target) {
  return target.scope == Scope::all ? table_.size() : targets(target).size();
}

void Gateway::give_count(const Command& command, const Give& give) {
  Answer done;
  done.number = command.request == 0 ? 0 : count_of(command.target);
  give_if_wanted(command, done, give);
}

void Gateway::answer(LinkId id, const Answer& answer) {
  Link& link = *peers_.at(id).link;
  append_answer(link.out(), answer);
  link.flush();
}

}  // namespace appserver::gateway
