// What a gateway worker and a business worker say to each other over their link: a stream of
// frames, each a length of four bytes, big-endian, that does not count itself, and a message of
// that many bytes, whose first is its kind. Each reads the other as hostile; a message that is
// malformed ends the link.
//
// Each says hello first. Then a business worker says ready, is given clients (assign) and their
// events, and acknowledges each event. With drain it asks for no more events, and drained says that
// none will follow.
#pragma once

#include <appserver/abi/http.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/client_table.hpp"
#include "gateway/router.hpp"

namespace appserver::gateway {

// Raised when a message's meaning changes; a peer that cannot speak it is refused with words.
inline constexpr std::uint16_t kLinkVersion = 2;
// Of one message. A client's is at most a quarter of it: the configuration sees to that.
inline constexpr std::size_t kMaxLinkMessage = std::size_t{64} << 20;
// Of the message that a link begins with.
inline constexpr std::size_t kMaxHello = 1024;
inline constexpr std::size_t kLengthSize = 4;
// Clients, uids or groups that one command names, and records of one part of an answer.
inline constexpr std::size_t kMaxNamed = 65'536;
inline constexpr std::size_t kMaxAcknowledged = 4096;
// Of all parts of an answer, about.
inline constexpr std::size_t kMaxAnswer = std::size_t{32} << 20;

enum class LinkKind : std::uint8_t {
  hello = 1,
  refused = 2,  // why; the link ends
  ping = 3,     // asks for a pong, at once
  pong = 4,
  // Business worker to gateway.
  ready = 10,
  drain = 11,
  acknowledge = 12,
  command = 13,
  // Gateway to business worker.
  assign = 30,
  event = 31,
  drained = 32,
  answer = 33,
  workers = 34,  // so many has its group now
  leaving = 35,  // another worker takes its place; this one stays for its clients
};

enum class Role : std::uint8_t { gateway = 1, business = 2 };

struct Hello {
  std::uint16_t version = kLinkVersion;
  Role role{};
  std::uint64_t instance = 0;  // random, of this process; a gateway's is part of its clients' ids
  std::uint32_t slot = 0;
  std::uint32_t workers = 1;  // of its group
  std::string_view group;
};

// A client as the worker that it is assigned to gets to know it.
struct ClientFacts {
  std::string_view remote;  // as in abi/stream.h
  std::string_view local;
  std::string_view listener;
  std::string_view protocol;
  std::string_view uid;  // empty: none
};

struct SessionView {
  std::uint64_t version = 0;
  std::string_view bytes;
};

struct Assign {
  Serial client = 0;
  ClientFacts facts;
  SessionView session;
};

struct EventMessage {
  std::uint64_t number = 0;
  Serial client = 0;
  EventKind kind{};
  std::uint8_t detail = 0;
  bool redelivered = false;
  std::optional<SessionView> session;  // where it is not what the worker was told last
  std::string_view body;
};

enum class Verb : std::uint8_t {
  send = 1,
  close = 2,
  destroy = 3,
  bind_uid = 4,
  unbind_uid = 5,
  join_group = 6,
  leave_group = 7,
  ungroup = 8,
  set_session = 9,
  session = 10,
  clients = 11,
  count = 12,
  uids = 13,
  groups = 14,
};

enum class Scope : std::uint8_t { all = 0, clients = 1, uids = 2, groups = 3 };

// Whom a command is about; only the list of its scope is used.
struct Target {
  Scope scope = Scope::all;
  std::vector<Serial> clients;
  std::vector<std::string_view> names;
};

struct Command {
  std::uint64_t request = 0;  // what its answer carries; 0: none is wanted
  Verb verb{};
  Target target;
  std::vector<Serial> except;             // of send
  std::uint8_t kind = 0;                  // of send: the message's, as abi/stream.h
  std::uint16_t code = 0;                 // of close
  bool with_sessions = false;             // of clients
  std::optional<std::uint64_t> expected;  // of set_session: only where it has this version
  std::string_view name;                  // of a uid or group
  std::string_view body;
};

struct ClientRecord {
  Serial client = 0;
  std::string_view uid;
  std::optional<SessionView> session;
};

struct NamedCount {
  std::string_view name;
  std::uint64_t count = 0;
};

// In parts where it is long: `more` but in the last.
struct Answer {
  std::uint64_t request = 0;
  TableResult result = TableResult::ok;
  bool more = false;
  std::uint64_t number = 0;           // of count; of set_session: the version now
  std::vector<ClientRecord> clients;  // of session (one) and clients
  std::vector<NamedCount> names;      // of uids and groups, with the number of their clients
};

// Body of an event of kind close.
struct Closing {
  std::uint16_t code = 0;  // of a WebSocket's peer
  std::string_view why;
};

// Body of an event of kind websocket_open.
struct OpeningRequest {
  std::string_view method;
  std::string_view target;
  std::vector<std::pair<std::string_view, std::string_view>> headers;
};

void append_closing(std::string& out, const Closing& closing);
std::optional<Closing> read_closing(std::string_view body);
void append_opening(std::string& out, const appserver_http_request& request);
std::optional<OpeningRequest> read_opening(std::string_view body);

// Whole frames. Each is appended to `out`.
void append_hello(std::string& out, const Hello& hello);
void append_refused(std::string& out, std::string_view why);
void append_bare(std::string& out, LinkKind kind);  // ready, drain, drained, ping, pong, leaving
void append_workers(std::string& out, std::uint32_t workers);
void append_acknowledge(std::string& out, const std::vector<std::uint64_t>& numbers);
void append_assign(std::string& out, const Assign& assign);
void append_event(std::string& out, const EventMessage& event);
void append_command(std::string& out, const Command& command);
void append_answer(std::string& out, const Answer& answer);

// Of the length that a frame begins with.
std::uint32_t frame_length(std::string_view head);
// Nullopt for an empty message, an unknown kind, or a bare one that holds more.
std::optional<LinkKind> kind_of(std::string_view message);

// Of messages of that kind, without their frame; views into it. Nullopt: malformed.
std::optional<Hello> read_hello(std::string_view message);
std::optional<std::string_view> read_refused(std::string_view message);
std::optional<std::uint32_t> read_workers(std::string_view message);
std::optional<std::vector<std::uint64_t>> read_acknowledge(std::string_view message);
std::optional<Assign> read_assign(std::string_view message);
std::optional<EventMessage> read_event(std::string_view message);
std::optional<Command> read_command(std::string_view message);
std::optional<Answer> read_answer(std::string_view message);

}  // namespace appserver::gateway
