#include "gateway/link_message.hpp"

#include <boost/endian/conversion.hpp>

#include "gateway/packing.hpp"

namespace appserver::gateway {
namespace {

// Puts the length before what is packed.
void append_frame(std::string& out, const Packer& packer) {
  const auto size = boost::endian::native_to_big(static_cast<std::uint32_t>(packer.out().size()));
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out += packer.out();
}

Packer begin(LinkKind kind) {
  Packer packer;
  packer.number(static_cast<std::uint8_t>(kind));
  return packer;
}

// Behind the kind.
std::optional<Unpacker> open(std::string_view message, LinkKind kind) {
  if (kind_of(message) != kind) return std::nullopt;
  return Unpacker(message.substr(1));
}

void pack_flag(Packer& packer, bool flag) { packer.number(static_cast<std::uint8_t>(flag)); }

// Anything but 0 and 1 fails.
bool unpack_flag(Unpacker& from) {
  const auto value = from.number<std::uint8_t>();
  if (value > 1) from.fail();
  return value == 1;
}

template <class T>
T unpack_enum(Unpacker& from, T first, T last) {
  const auto value = from.number<std::uint8_t>();
  if (value < static_cast<std::uint8_t>(first) || value > static_cast<std::uint8_t>(last))
    from.fail();
  return static_cast<T>(value);
}

void pack_session(Packer& packer, const std::optional<SessionView>& session) {
  pack_flag(packer, session.has_value());
  if (session) packer.number(session->version).bytes(session->bytes);
}

std::optional<SessionView> unpack_session(Unpacker& from) {
  if (!unpack_flag(from)) return std::nullopt;
  SessionView session;
  session.version = from.number<std::uint64_t>();
  session.bytes = from.bytes();
  if (session.bytes.size() > ClientTable::kMaxSession) from.fail();
  return session;
}

// How many of at least `least` bytes each; more than there can be fail.
std::size_t unpack_count(Unpacker& from, std::size_t least, std::size_t most) {
  const std::size_t count = from.number<std::uint32_t>();
  if (count > most || count > from.left() / least) from.fail();
  return from.failed() ? 0 : count;
}

void pack_serials(Packer& packer, const std::vector<Serial>& clients) {
  packer.number(static_cast<std::uint32_t>(clients.size()));
  for (const Serial client : clients) packer.number(client);
}

std::vector<Serial> unpack_serials(Unpacker& from) {
  const std::size_t count = unpack_count(from, sizeof(Serial), kMaxNamed);
  std::vector<Serial> clients;
  clients.reserve(count);
  for (std::size_t i = 0; i < count; ++i) clients.push_back(from.number<Serial>());
  return clients;
}

void pack_target(Packer& packer, const Target& target) {
  packer.number(static_cast<std::uint8_t>(target.scope));
  if (target.scope == Scope::clients) pack_serials(packer, target.clients);
  if (target.scope != Scope::uids && target.scope != Scope::groups) return;
  packer.number(static_cast<std::uint32_t>(target.names.size()));
  for (const std::string_view name : target.names) packer.name(name);
}

Target unpack_target(Unpacker& from) {
  Target target;
  target.scope = unpack_enum(from, Scope::all, Scope::groups);
  if (target.scope == Scope::clients) target.clients = unpack_serials(from);
  if (target.scope != Scope::uids && target.scope != Scope::groups) return target;
  const std::size_t count = unpack_count(from, 1, kMaxNamed);
  target.names.reserve(count);
  for (std::size_t i = 0; i < count; ++i) target.names.push_back(from.name());
  return target;
}

template <class T>
std::optional<T> whole(const Unpacker& from, T value) {
  if (!from.is_done()) return std::nullopt;
  return value;
}

}  // namespace

void append_closing(std::string& out, const Closing& closing) {
  Packer packer;
  out += packer.number(closing.code).rest(closing.why).out();
}

std::optional<Closing> read_closing(std::string_view body) {
  Unpacker from(body);
  Closing closing;
  closing.code = from.number<std::uint16_t>();
  closing.why = from.rest();
  return whole(from, closing);
}

void append_opening(std::string& out, const appserver_http_request& request) {
  const auto view = [](appserver_str str) { return std::string_view(str.data, str.size); };
  Packer packer;
  packer.bytes(view(request.method)).bytes(view(request.target)).number(request.header_count);
  const auto* header = reinterpret_cast<const char*>(request.headers);
  for (std::uint32_t i = 0; i < request.header_count; ++i, header += request.header_stride) {
    const auto& field = *reinterpret_cast<const appserver_header*>(header);
    packer.bytes(view(field.name)).bytes(view(field.value));
  }
  out += packer.out();
}

std::optional<OpeningRequest> read_opening(std::string_view body) {
  constexpr std::size_t kLeastField = 2 * sizeof(std::uint32_t);
  Unpacker from(body);
  OpeningRequest request;
  request.method = from.bytes();
  request.target = from.bytes();
  request.headers.resize(unpack_count(from, kLeastField, kMaxNamed));
  for (auto& [name, value] : request.headers) {
    name = from.bytes();
    value = from.bytes();
  }
  return whole(from, std::move(request));
}

void append_hello(std::string& out, const Hello& hello) {
  append_frame(out, begin(LinkKind::hello)
                        .number(hello.version)
                        .number(static_cast<std::uint8_t>(hello.role))
                        .number(hello.instance)
                        .number(hello.slot)
                        .number(hello.workers)
                        .name(hello.group));
}

void append_refused(std::string& out, std::string_view why) {
  append_frame(out, begin(LinkKind::refused).rest(why));
}

void append_bare(std::string& out, LinkKind kind) { append_frame(out, begin(kind)); }

void append_workers(std::string& out, std::uint32_t workers) {
  append_frame(out, begin(LinkKind::workers).number(workers));
}

void append_acknowledge(std::string& out, const std::vector<std::uint64_t>& numbers) {
  Packer packer = begin(LinkKind::acknowledge);
  for (const std::uint64_t number : numbers) packer.number(number);
  append_frame(out, packer);
}

void append_assign(std::string& out, const Assign& assign) {
  append_frame(out, begin(LinkKind::assign)
                        .number(assign.client)
                        .name(assign.facts.remote)
                        .name(assign.facts.local)
                        .name(assign.facts.listener)
                        .name(assign.facts.protocol)
                        .name(assign.facts.uid)
                        .number(assign.session.version)
                        .bytes(assign.session.bytes));
}

void append_event(std::string& out, const EventMessage& event) {
  Packer packer = begin(LinkKind::event);
  packer.number(event.number)
      .number(event.client)
      .number(static_cast<std::uint8_t>(event.kind))
      .number(event.detail);
  pack_flag(packer, event.redelivered);
  pack_session(packer, event.session);
  append_frame(out, packer.rest(event.body));
}

void append_command(std::string& out, const Command& command) {
  Packer packer = begin(LinkKind::command);
  packer.number(command.request).number(static_cast<std::uint8_t>(command.verb));
  pack_target(packer, command.target);
  pack_serials(packer, command.except);
  packer.number(command.kind).number(command.code);
  pack_flag(packer, command.with_sessions);
  pack_flag(packer, command.expected.has_value());
  if (command.expected) packer.number(*command.expected);
  append_frame(out, packer.name(command.name).rest(command.body));
}

void append_answer(std::string& out, const Answer& answer) {
  Packer packer = begin(LinkKind::answer);
  packer.number(answer.request).number(static_cast<std::uint8_t>(answer.result));
  pack_flag(packer, answer.more);
  packer.number(answer.number).number(static_cast<std::uint32_t>(answer.clients.size()));
  for (const ClientRecord& record : answer.clients) {
    packer.number(record.client).name(record.uid);
    pack_session(packer, record.session);
  }
  packer.number(static_cast<std::uint32_t>(answer.names.size()));
  for (const NamedCount& each : answer.names) packer.name(each.name).number(each.count);
  append_frame(out, packer);
}

std::uint32_t frame_length(std::string_view head) {
  return Unpacker(head.substr(0, kLengthSize)).number<std::uint32_t>();
}

std::optional<LinkKind> kind_of(std::string_view message) {
  if (message.empty()) return std::nullopt;
  const auto kind = static_cast<LinkKind>(message.front());
  switch (kind) {
    case LinkKind::ready:
    case LinkKind::drain:
    case LinkKind::drained:
    case LinkKind::ping:
    case LinkKind::pong:
    case LinkKind::leaving:
      if (message.size() > 1) break;
      return kind;
    case LinkKind::hello:
    case LinkKind::refused:
    case LinkKind::acknowledge:
    case LinkKind::command:
    case LinkKind::assign:
    case LinkKind::event:
    case LinkKind::answer:
    case LinkKind::workers:
      return kind;
  }
  return std::nullopt;
}

std::optional<Hello> read_hello(std::string_view message) {
  auto from = open(message, LinkKind::hello);
  if (!from) return std::nullopt;
  Hello hello;
  hello.version = from->number<std::uint16_t>();
  if (from->failed()) return std::nullopt;
  // What follows may mean something else there.
  if (hello.version != kLinkVersion) return hello;
  hello.role = unpack_enum(*from, Role::gateway, Role::business);
  hello.instance = from->number<std::uint64_t>();
  hello.slot = from->number<std::uint32_t>();
  hello.workers = from->number<std::uint32_t>();
  hello.group = from->name();
  return whole(*from, hello);
}

std::optional<std::string_view> read_refused(std::string_view message) {
  auto from = open(message, LinkKind::refused);
  if (!from) return std::nullopt;
  return from->rest();
}

std::optional<std::uint32_t> read_workers(std::string_view message) {
  auto from = open(message, LinkKind::workers);
  if (!from) return std::nullopt;
  const auto workers = from->number<std::uint32_t>();
  if (workers == 0) from->fail();
  return whole(*from, workers);
}

std::optional<std::vector<std::uint64_t>> read_acknowledge(std::string_view message) {
  auto from = open(message, LinkKind::acknowledge);
  if (!from || from->left() > kMaxAcknowledged * sizeof(std::uint64_t)) return std::nullopt;
  if (from->left() % sizeof(std::uint64_t) != 0) return std::nullopt;
  std::vector<std::uint64_t> numbers;
  numbers.reserve(from->left() / sizeof(std::uint64_t));
  while (from->left() > 0) numbers.push_back(from->number<std::uint64_t>());
  if (!from->is_done()) return std::nullopt;
  return numbers;
}

std::optional<Assign> read_assign(std::string_view message) {
  auto from = open(message, LinkKind::assign);
  if (!from) return std::nullopt;
  Assign assign;
  assign.client = from->number<Serial>();
  assign.facts.remote = from->name();
  assign.facts.local = from->name();
  assign.facts.listener = from->name();
  assign.facts.protocol = from->name();
  assign.facts.uid = from->name();
  assign.session.version = from->number<std::uint64_t>();
  assign.session.bytes = from->bytes();
  if (assign.session.bytes.size() > ClientTable::kMaxSession) from->fail();
  return whole(*from, assign);
}

std::optional<EventMessage> read_event(std::string_view message) {
  auto from = open(message, LinkKind::event);
  if (!from) return std::nullopt;
  EventMessage event;
  event.number = from->number<std::uint64_t>();
  event.client = from->number<Serial>();
  event.kind = unpack_enum(*from, EventKind::connect, EventKind::close);
  event.detail = from->number<std::uint8_t>();
  event.redelivered = unpack_flag(*from);
  event.session = unpack_session(*from);
  event.body = from->rest();
  return whole(*from, event);
}

std::optional<Command> read_command(std::string_view message) {
  auto from = open(message, LinkKind::command);
  if (!from) return std::nullopt;
  Command command;
  command.request = from->number<std::uint64_t>();
  command.verb = unpack_enum(*from, Verb::send, Verb::groups);
  command.target = unpack_target(*from);
  command.except = unpack_serials(*from);
  command.kind = from->number<std::uint8_t>();
  command.code = from->number<std::uint16_t>();
  command.with_sessions = unpack_flag(*from);
  if (unpack_flag(*from)) command.expected = from->number<std::uint64_t>();
  command.name = from->name();
  command.body = from->rest();
  return whole(*from, std::move(command));
}

std::optional<Answer> read_answer(std::string_view message) {
  auto from = open(message, LinkKind::answer);
  if (!from) return std::nullopt;
  constexpr std::size_t kLeastRecord = sizeof(Serial) + 2;
  constexpr std::size_t kLeastName = 1 + sizeof(std::uint64_t);
  Answer answer;
  answer.request = from->number<std::uint64_t>();
  answer.result = unpack_enum(*from, TableResult::ok, TableResult::too_large);
  answer.more = unpack_flag(*from);
  answer.number = from->number<std::uint64_t>();
  answer.clients.resize(unpack_count(*from, kLeastRecord, kMaxNamed));
  for (ClientRecord& record : answer.clients) {
    record.client = from->number<Serial>();
    record.uid = from->name();
    record.session = unpack_session(*from);
  }
  answer.names.resize(unpack_count(*from, kLeastName, kMaxNamed));
  for (NamedCount& each : answer.names) {
    each.name = from->name();
    each.count = from->number<std::uint64_t>();
  }
  return whole(*from, std::move(answer));
}

}  // namespace appserver::gateway
