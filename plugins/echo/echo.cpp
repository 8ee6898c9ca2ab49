// Sends back what it gets, over HTTP, WebSocket, text, frame, tcp and udp; connections outlive a
// reload.
#include <appserver/plugin.hpp>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

// What is known of a connection, wherever it is served.
struct Member {
  std::uint64_t messages = 0;
};

class Echo final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override {
    prefix_ = worker.settings().get("prefix", "");
  }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    response.text(prefix_ + std::string(request.body()));
  }

  void on_connect(appserver::Connection connection) override { connection.emplace<Member>(); }

  void on_message(appserver::Connection connection, appserver::Message message) override {
    Member& member = *connection.get<Member>();
    ++member.messages;
    if (message == "count") {
      connection.send(std::to_string(member.messages));
    } else if (prefix_.empty()) {
      connection.send(message);
    } else {
      connection.send(appserver::Message(prefix_ + std::string(message), message.is_text()));
    }
  }

  void on_datagram(appserver::Datagram& datagram) override {
    datagram.reply(prefix_ + std::string(datagram.data()));
  }

  void on_handover(appserver::Connection connection, std::string& state) override {
    state = std::to_string(connection.get<Member>()->messages);
  }

  void on_adopt(appserver::Connection connection, std::string_view state) override {
    Member& member = connection.emplace<Member>();
    std::from_chars(state.data(), state.data() + state.size(), member.messages);
  }

 private:
  std::string prefix_;
};

APPSERVER_PLUGIN(Echo, "echo", "1.0.0")
