// The business plugin of the gateway's tests, built as "v1" and "v2". To each message it answers
// "VERSION COUNT MESSAGE", where COUNT is the number of the client's messages, kept in its session,
// or "VERSION again MESSAGE" to what was delivered before. But:
//   hold MS TEXT        answered after so long, and handled only then
//   all TEXT            to all but the client
//   join GROUP, leave GROUP, group GROUP TEXT
//   bind UID, unbind, uid UID TEXT
//   session TEXT        sets it; `session` gives it back
//   count, online ID, members GROUP, groups, uids
//   kick ID, kill       another client; this worker, at once
//   throw               an exception
//   who                 "PROTOCOL LISTENER UID WORKER-PID"
// Settings: start_ms, how long a start takes. What is said of others: "connect", "open PATH" to the
// client itself; "left ID REASON" to the group "watchers".
#include <signal.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

using namespace appserver;

namespace {

const std::string kVersion = RELAY_VERSION;

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return {text, {}};
  return {text.substr(0, space), text.substr(space + 1)};
}

class Relay final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    worker_ = &worker;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(worker.settings().get<std::uint64_t>("start_ms", 0)));
  }

  void on_client_connect(GatewayClient& client) override {
    if (worker_->settings().get<bool>("greet", false)) client.send("connect");
  }

  void on_client_websocket_open(GatewayClient& client, const Request& request) override {
    if (worker_->settings().get<bool>("greet", false))
      client.send("open " + std::string(request.path()));
  }

  void on_client_message(GatewayClient& client, Message message) override {
    const auto [verb, rest] = split(message);
    if (client.redelivered()) {
      client.send(kVersion + " again " + std::string(message));
    } else if (!run(client, verb, rest)) {
      const std::uint64_t count = number_in(client.session()) + 1;
      client.set_session(std::to_string(count));
      client.send(kVersion + " " + std::to_string(count) + " " + std::string(message));
    }
  }

  void on_client_close(GatewayClient& client, Close close) override {
    client.gateway().send_to_group(
        "watchers",
        "left " + client.id().text() + " " + std::to_string(static_cast<unsigned>(close.reason)));
  }

 private:
  bool run(GatewayClient& client, std::string_view verb, std::string_view rest) {
    Gateway& gateway = client.gateway();
    const auto [first, second] = split(rest);
    if (verb == "hold") {
      hold(client, number_in(first), std::string(second));
    } else if (verb == "all") {
      gateway.send_to_all(rest, {client.id()});
    } else if (verb == "join") {
      client.join_group(rest);
      client.send("joined");
    } else if (verb == "leave") {
      client.leave_group(rest);
      client.send("left");
    } else if (verb == "group") {
      gateway.send_to_group(first, second, {client.id()});
    } else if (verb == "bind") {
      client.bind_uid(rest);
      client.send("bound " + client.id().text());
    } else if (verb == "unbind") {
      client.unbind_uid();
      client.send("unbound");
    } else if (verb == "uid") {
      gateway.send_to_uid(first, second);
    } else if (verb == "session") {
      if (!rest.empty()) client.set_session(rest);
      client.send("session " + std::string(client.session()));
    } else if (verb == "kick") {
      gateway.close_client(ClientId::from_text(rest).value(), 4000, "kicked");
    } else if (verb == "kill") {
      ::kill(::getpid(), SIGKILL);
    } else if (verb == "throw") {
      throw std::runtime_error("as the message says");
    } else if (verb == "who") {
      client.send(std::string(client.protocol()) + " " + std::string(client.listener()) + " " +
                  std::string(client.uid()) + " " + std::to_string(::getpid()));
    } else {
      return ask(client, verb, rest);
    }
    return true;
  }

  bool ask(GatewayClient& client, std::string_view verb, std::string_view rest) {
    Gateway& gateway = client.gateway();
    const auto tell = [&gateway, id = client.id()](const std::string& text, bool partial) {
      gateway.send_to_client(id, text + (partial ? " partial" : ""));
    };
    const auto names = [tell](Outcome<GatewayAnswer<std::map<std::string, std::uint64_t>>> got) {
      std::string text;
      for (const auto& [name, count] : got.value().value)
        text += (text.empty() ? "" : " ") + name + ":" + std::to_string(count);
      tell(text, got.value().partial);
    };
    if (verb == "count") {
      gateway.all_client_count([tell](Outcome<GatewayAnswer<std::uint64_t>> got) {
        tell(std::to_string(got.value().value), got.value().partial);
      });
    } else if (verb == "online") {
      gateway.is_online(ClientId::from_text(rest).value(),
                        [tell](Outcome<GatewayAnswer<bool>> got) {
                          tell(got.value().value ? "online" : "offline", got.value().partial);
                        });
    } else if (verb == "members") {
      gateway.client_ids_by_group(
          rest, [tell](Outcome<GatewayAnswer<std::vector<ClientRecord>>> got) {
            tell(std::to_string(got.value().value.size()), got.value().partial);
          });
    } else if (verb == "groups") {
      gateway.all_groups(names);
    } else if (verb == "uids") {
      gateway.all_uids(names);
    } else {
      return false;
    }
    return true;
  }

  void hold(GatewayClient& client, std::uint64_t milliseconds, std::string text) {
    auto held = std::make_shared<EventHold>(client.hold());
    worker_
        ->after(std::chrono::milliseconds(milliseconds),
                [this, held, text = std::move(text), id = client.id()] {
                  worker_->gateway().send_to_client(id, kVersion + " held " + text);
                  held->acknowledge();
                })
        .detach();
  }

  Worker* worker_ = nullptr;
};

}  // namespace

APPSERVER_PLUGIN(Relay, "relay", "1.0.0")
