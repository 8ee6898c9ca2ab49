// The plugin of the tests of connections that carry messages, built as "v1" and "v2". To each
// message it answers "VERSION NUMBER MESSAGE", where NUMBER counts the messages of the connection
// over all workers that had it. With TALK_STAYS its connections do not move to a successor; with
// TALK_OWN_FRAMING a message of a tcp:// listener ends with ';'.
//   throw          an exception; on_error answers "VERSION error"
//   close, abort   the connection
//   close CODE     a WebSocket, with the reason "as asked"
//   info           "PROTOCOL LISTENER BYTES_IN"
//   ends           "REMOTE LOCAL"
//   flood N        N answers of 1000 bytes, as many as are taken at a time
//   crash          SIGSEGV
// A message of bytes is answered with bytes. A WebSocket at /refused is refused, one at /throw
// fails, of the subprotocols that are offered "talk" is chosen. Over HTTP: /closes gives how many
// connections have ended, with the last one's reason, and the code of the last WebSocket's peer;
// else the version.
#include <signal.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <charconv>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

const std::string kVersion = TALK_VERSION;

struct Talk {
  std::uint64_t messages = 0;
  std::uint64_t flood = 0;  // answers still to be given
};

template <class Number>
Number number_in(std::string_view text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

class Talker final : public appserver::Plugin {
 public:
  void on_request(appserver::Request& request, appserver::Response& response) override {
    response.text(request.path() == "/closes"
                      ? std::to_string(closes_) + " " + std::to_string(last_reason_) + " " +
                            std::to_string(last_code_) + "\n"
                      : kVersion + "\n");
  }

  void on_connect(appserver::Connection connection) override { connection.emplace<Talk>(); }

  void on_websocket_open(appserver::Connection connection, const appserver::Request& request,
                         appserver::Upgrade& upgrade) override {
    if (request.path() == "/refused") return upgrade.refuse(403, "not for you");
    if (request.path() == "/throw") throw std::runtime_error("as the path says");
    for (const std::string_view offered : upgrade.offered()) {
      if (offered == "talk") upgrade.choose(offered);
    }
    connection.emplace<Talk>();
    if (request.path() == "/greeting") connection.send("welcome");
  }

  void on_message(appserver::Connection connection, appserver::Message message) override {
    Talk& talk = *connection.get<Talk>();
    ++talk.messages;
    if (message == "throw") throw std::runtime_error("as it was asked to");
    if (message == "crash") {
      ::signal(SIGSEGV, SIG_DFL);
      ::kill(::getpid(), SIGSEGV);
    }
    if (message == "abort") {
      connection.abort();
      return;
    }
    if (message.starts_with("flood ")) {
      talk.flood = number_in<std::uint64_t>(message.substr(6));
      return pour(connection, talk);
    }
    if (message == "info") {
      const appserver::ConnectionInfo info = connection.info();
      connection.send(info.protocol + " " + info.listener + " " + std::to_string(info.bytes_in) +
                      (info.subprotocol.empty() ? "" : " " + info.subprotocol));
      return;
    }
    if (message == "ends") {
      const appserver::ConnectionInfo info = connection.info();
      connection.send(info.remote + " " + info.local);
      return;
    }
    if (message.starts_with("close ")) {
      connection.close(number_in<std::uint16_t>(message.substr(6)), "as asked");
      return;
    }
    const std::string answer =
        kVersion + " " + std::to_string(talk.messages) + " " + std::string(message);
    connection.send(appserver::Message(answer, message.is_text()));
    if (message == "close") connection.close();
  }

  void on_error(appserver::Connection connection, std::string_view) override {
    connection.send(kVersion + " error");
  }

  void on_close(appserver::Connection, appserver::Close close) override {
    ++closes_;
    last_reason_ = static_cast<std::uint32_t>(close.reason);
    last_code_ = close.code;
  }

  void on_buffer_drain(appserver::Connection connection) override {
    pour(connection, *connection.get<Talk>());
  }

#ifndef TALK_STAYS
  void on_handover(appserver::Connection connection, std::string& state) override {
    const Talk& talk = *connection.get<Talk>();
    state = std::to_string(talk.messages) + " " + std::to_string(talk.flood);
  }

  void on_adopt(appserver::Connection connection, std::string_view state) override {
    Talk& talk = connection.emplace<Talk>();
    talk.messages = number_in<std::uint64_t>(state);
    talk.flood = number_in<std::uint64_t>(state.substr(state.find(' ') + 1));
    pour(connection, talk);
  }
#endif

#ifdef TALK_OWN_FRAMING
  std::size_t measure(appserver::Connection, std::string_view data) override {
    if (data.front() == '!') throw appserver::ProtocolError("a '!' is no message");
    const auto end = data.find(';');
    return end == std::string_view::npos ? 0 : end + 1;
  }
#endif

 private:
  static void pour(appserver::Connection connection, Talk& talk) {
    while (talk.flood > 0 && connection.send(std::string(1000, 'x'))) --talk.flood;
  }

  std::uint64_t closes_ = 0;
  std::uint32_t last_reason_ = 0;
  std::uint16_t last_code_ = 0;
};

}  // namespace

APPSERVER_PLUGIN(Talker, TALK_NAME, TALK_VERSION)
