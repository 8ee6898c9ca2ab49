#include "gateway/link_message.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

using namespace appserver::gateway;

namespace {

// Without the frame, whose length must be that of the rest.
std::string unframed(const std::string& frame) {
  REQUIRE(frame.size() >= kLengthSize);
  REQUIRE(frame_length(frame) == frame.size() - kLengthSize);
  return frame.substr(kLengthSize);
}

template <class T>
std::string packed(void (*append)(std::string&, const T&), const T& value) {
  std::string out;
  append(out, value);
  return unframed(out);
}

// Each shorter one is refused, but for what may be missing at the end.
void refuses_truncations(const std::string& message, std::size_t body,
                         const std::function<bool(std::string_view)>& is_read) {
  REQUIRE(is_read(message));
  for (std::size_t size = 0; size < message.size() - body; ++size) {
    CAPTURE(size);
    CHECK_FALSE(is_read(std::string_view(message).substr(0, size)));
  }
}

// All values of the byte at `at` but `known` are refused.
void refuses_bytes(std::string message, std::size_t at, const std::function<bool(unsigned)>& known,
                   const std::function<bool(std::string_view)>& is_read) {
  for (unsigned value = 0; value < 256; ++value) {
    message[at] = static_cast<char>(value);
    CAPTURE(at, value);
    CHECK(is_read(message) == known(value));
  }
}

const std::string kLongest(ClientTable::kMaxName, 'n');
const std::string kLargest(ClientTable::kMaxSession, 's');

Command command_of(Verb verb) {
  Command command;
  command.verb = verb;
  return command;
}

Command busy_command() {
  Command command;
  command.request = 0x0102030405060708;
  command.verb = Verb::set_session;
  command.target.scope = Scope::clients;
  command.target.clients = {1, ~Serial{0}};
  command.except = {3};
  command.kind = 1;
  command.code = 4999;
  command.with_sessions = true;
  command.expected = 7;
  command.name = kLongest;
  command.body = "body";
  return command;
}

}  // namespace

TEST_CASE("a hello is read as it was written, and each truncation of it is refused") {
  for (const auto role : {Role::gateway, Role::business}) {
    for (const std::string_view group : {std::string_view(), std::string_view(kLongest)}) {
      const auto message =
          packed<Hello>(append_hello, {kLinkVersion, role, 1ULL << 63, 2, 3, group});
      const auto hello = read_hello(message);
      REQUIRE(hello);
      CHECK(hello->version == kLinkVersion);
      CHECK(hello->role == role);
      CHECK(hello->instance == 1ULL << 63);
      CHECK(hello->slot == 2);
      CHECK(hello->workers == 3);
      CHECK(hello->group == group);
      const auto is_read = [](std::string_view text) { return read_hello(text).has_value(); };
      refuses_truncations(message, 0, is_read);
      CHECK_FALSE(is_read(message + "x"));
      refuses_bytes(
          message, 3, [](unsigned value) { return value == 1 || value == 2; }, is_read);
    }
  }
}

TEST_CASE("another version's hello is told apart, whatever follows") {
  Hello hello;
  hello.version = kLinkVersion + 1;
  const auto other = read_hello(packed<Hello>(append_hello, hello).substr(0, 3) + "anything");
  REQUIRE(other);
  CHECK(other->version == kLinkVersion + 1);
}

TEST_CASE("each byte that names no kind of message is refused, and bare messages hold no more") {
  const std::string known{1, 2, 3, 4, 10, 11, 12, 13, 30, 31, 32, 33, 34, 35};
  CHECK_FALSE(kind_of(""));
  for (unsigned value = 0; value < 256; ++value) {
    const std::string message(1, static_cast<char>(value));
    CAPTURE(value);
    CHECK(kind_of(message).has_value() == (known.find(message) != std::string::npos));
  }
  for (const auto kind : {LinkKind::ready, LinkKind::drain, LinkKind::drained, LinkKind::ping,
                          LinkKind::pong, LinkKind::leaving}) {
    std::string out;
    append_bare(out, kind);
    CHECK(kind_of(unframed(out)) == kind);
    CHECK_FALSE(kind_of(unframed(out) + "x"));
  }
}

TEST_CASE("the number of a gateway's workers is one at least") {
  std::string out;
  append_workers(out, 3);
  CHECK(read_workers(unframed(out)) == 3u);
  out.clear();
  append_workers(out, 0);
  CHECK_FALSE(read_workers(unframed(out)));
  CHECK_FALSE(read_workers("\x22\0\0"));
}

TEST_CASE("a refusal carries its words, and is not taken for something else") {
  std::string out;
  append_refused(out, "why");
  CHECK(read_refused(unframed(out)) == "why");
  CHECK_FALSE(read_hello(unframed(out)));
  CHECK_FALSE(read_refused("\x01why"));
}

TEST_CASE("acknowledgements are whole numbers, and a bounded number of them") {
  std::vector<std::uint64_t> numbers;
  const auto message = [&] {
    std::string out;
    append_acknowledge(out, numbers);
    return unframed(out);
  };
  CHECK(read_acknowledge(message()) == numbers);
  numbers = {1, ~std::uint64_t{0}};
  CHECK(read_acknowledge(message()) == numbers);
  for (std::size_t cut = 1; cut < 8; ++cut)
    CHECK_FALSE(read_acknowledge(std::string_view(message()).substr(0, 17 - cut)));
  numbers.resize(kMaxAcknowledged);
  CHECK(read_acknowledge(message()) == numbers);
  numbers.push_back(1);
  CHECK_FALSE(read_acknowledge(message()));
}

TEST_CASE("a client's facts are read as they were written, up to the largest session") {
  const auto is_read = [](std::string_view text) { return read_assign(text).has_value(); };
  refuses_truncations(packed<Assign>(append_assign, {9, {"r", "l", "i", "p", "u"}, {4, "abc"}}), 0,
                      is_read);
  Assign full{~Serial{0}, {kLongest, "", kLongest, "", kLongest}, {1ULL << 40, kLargest}};
  const auto message = packed<Assign>(append_assign, full);
  const auto read = read_assign(message);
  REQUIRE(read);
  CHECK(read->client == full.client);
  CHECK(read->facts.remote == kLongest);
  CHECK(read->facts.local.empty());
  CHECK(read->facts.listener == kLongest);
  CHECK(read->facts.protocol.empty());
  CHECK(read->facts.uid == kLongest);
  CHECK(read->session.version == 1ULL << 40);
  CHECK(read->session.bytes == kLargest);
  CHECK_FALSE(is_read(message + "x"));
  const std::string over = kLargest + "s";
  full.session.bytes = over;
  CHECK_FALSE(is_read(packed<Assign>(append_assign, full)));
}

TEST_CASE("an event of each kind is read as it was written, with its session or without") {
  const auto is_read = [](std::string_view text) { return read_event(text).has_value(); };
  for (const auto kind :
       {EventKind::connect, EventKind::websocket_open, EventKind::message, EventKind::close}) {
    for (const bool with_session : {false, true}) {
      EventMessage event{5, 6, kind, 255, with_session, {}, "body"};
      if (with_session) event.session = SessionView{8, kLargest};
      const auto message = packed<EventMessage>(append_event, event);
      const auto read = read_event(message);
      REQUIRE(read);
      CHECK(read->number == 5);
      CHECK(read->client == 6);
      CHECK(read->kind == kind);
      CHECK(read->detail == 255);
      CHECK(read->redelivered == with_session);
      REQUIRE(read->session.has_value() == with_session);
      if (with_session) CHECK(read->session->bytes == kLargest);
      CHECK(read->body == "body");
    }
  }
  const auto message = packed<EventMessage>(
      append_event, {5, 6, EventKind::connect, 0, false, SessionView{1, "s"}, "b"});
  refuses_truncations(message, 1, is_read);
  const auto is_flag = [](unsigned value) { return value <= 1; };
  refuses_bytes(
      message, 17, [](unsigned value) { return value >= 1 && value <= 4; }, is_read);
  refuses_bytes(message, 19, is_flag, is_read);
  const std::string over = kLargest + "s";
  CHECK_FALSE(is_read(packed<EventMessage>(
      append_event, {5, 6, EventKind::connect, 0, false, SessionView{1, over}, ""})));
}

TEST_CASE("a command of each verb and scope is read as it was written") {
  for (int verb = 1; verb <= 14; ++verb) {
    for (int scope = 0; scope <= 3; ++scope) {
      Command command = busy_command();
      command.verb = static_cast<Verb>(verb);
      command.target.scope = static_cast<Scope>(scope);
      command.target.names = {"", kLongest};
      const auto message = packed<Command>(append_command, command);
      const auto read = read_command(message);
      REQUIRE(read);
      CHECK(read->request == command.request);
      CHECK(read->verb == command.verb);
      CHECK(read->target.scope == command.target.scope);
      const bool of_clients = command.target.scope == Scope::clients;
      CHECK(read->target.clients == (of_clients ? command.target.clients : std::vector<Serial>{}));
      CHECK(read->target.names.size() == (scope >= 2 ? 2U : 0U));
      CHECK(read->except == command.except);
      CHECK(read->code == 4999);
      CHECK(read->with_sessions);
      CHECK(read->expected == 7);
      CHECK(read->name == kLongest);
      CHECK(read->body == "body");
    }
  }
  const auto bare = packed<Command>(append_command, command_of(Verb::count));
  REQUIRE(read_command(bare));
  CHECK_FALSE(read_command(bare)->expected);
}

TEST_CASE("a command that is cut, or has an unknown verb, scope or flag, is refused") {
  const auto is_read = [](std::string_view text) { return read_command(text).has_value(); };
  refuses_truncations(packed<Command>(append_command, busy_command()), 4, is_read);
  Command plain = command_of(Verb::count);
  plain.expected = 1;
  const auto message = packed<Command>(append_command, plain);
  const auto is_flag = [](unsigned value) { return value <= 1; };
  refuses_bytes(
      message, 9, [](unsigned value) { return value >= 1 && value <= 14; }, is_read);
  refuses_bytes(message, 18, is_flag, is_read);
  std::string with_scope = message;
  for (unsigned value = 4; value < 256; ++value) {
    with_scope[10] = static_cast<char>(value);
    CHECK_FALSE(is_read(with_scope));
  }
}

TEST_CASE("a count of more than the message can hold is refused before memory is taken for it") {
  // `except` of a command and both lists of an answer, which begin with their counts.
  std::string command = packed<Command>(append_command, command_of(Verb::count));
  std::string answer = packed<Answer>(append_answer, {});
  for (const auto& [message, at] : {std::pair(&command, 11U), {&answer, 19U}, {&answer, 23U}}) {
    for (const std::string_view count : {"\xff\xff\xff\xff", "\x7f\xff\xff\xff"}) {
      std::string bad = *message;
      bad.replace(at, 4, count);
      const bool is_read =
          message == &command ? read_command(bad).has_value() : read_answer(bad).has_value();
      CHECK_FALSE(is_read);
    }
  }
  Command many = command_of(Verb::send);
  many.except.resize(kMaxNamed);
  CHECK(read_command(packed<Command>(append_command, many)));
  many.except.resize(kMaxNamed + 1);
  CHECK_FALSE(read_command(packed<Command>(append_command, many)));
}

TEST_CASE("an answer of each result is read as it was written, and each truncation is refused") {
  for (int result = 0; result <= 5; ++result) {
    Answer answer;
    answer.request = 4;
    answer.result = static_cast<TableResult>(result);
    answer.more = result % 2 == 1;
    answer.number = ~std::uint64_t{0};
    answer.clients = {{1, "", {}}, {2, kLongest, SessionView{3, "abc"}}};
    answer.names = {{"g", 5}, {kLongest, 6}};
    const auto message = packed<Answer>(append_answer, answer);
    const auto read = read_answer(message);
    REQUIRE(read);
    CHECK(read->request == 4);
    CHECK(read->result == answer.result);
    CHECK(read->more == answer.more);
    CHECK(read->number == answer.number);
    REQUIRE(read->clients.size() == 2);
    CHECK_FALSE(read->clients[0].session);
    CHECK(read->clients[1].uid == kLongest);
    CHECK(read->clients[1].session->bytes == "abc");
    REQUIRE(read->names.size() == 2);
    CHECK(read->names[1].name == kLongest);
    CHECK(read->names[1].count == 6);
    const auto is_read = [](std::string_view text) { return read_answer(text).has_value(); };
    refuses_truncations(message, 0, is_read);
    CHECK_FALSE(is_read(message + "x"));
    refuses_bytes(
        message, 9, [](unsigned value) { return value <= 5; }, is_read);
    refuses_bytes(
        message, 10, [](unsigned value) { return value <= 1; }, is_read);
  }
}

TEST_CASE("a WebSocket's request and a closing go through the body of an event") {
  std::array<appserver_header, 2> headers{};
  headers[0] = {{"Host", 4}, {"a", 1}};
  headers[1] = {{"X", 1}, {"", 0}};
  appserver_http_request request{};
  request.method = {"GET", 3};
  request.target = {"/a?b", 4};
  request.headers = headers.data();
  request.header_count = 2;
  request.header_stride = sizeof(appserver_header);
  std::string body;
  append_opening(body, request);
  const auto opening = read_opening(body);
  REQUIRE(opening);
  CHECK(opening->method == "GET");
  CHECK(opening->target == "/a?b");
  REQUIRE(opening->headers.size() == 2);
  CHECK(opening->headers[0] == std::pair<std::string_view, std::string_view>("Host", "a"));
  CHECK(opening->headers[1].second.empty());
  refuses_truncations(body, 0,
                      [](std::string_view text) { return read_opening(text).has_value(); });

  std::string closing;
  append_closing(closing, {1001, "bye"});
  REQUIRE(read_closing(closing));
  CHECK(read_closing(closing)->code == 1001);
  CHECK(read_closing(closing)->why == "bye");
  CHECK_FALSE(read_closing("\x01"));
}
