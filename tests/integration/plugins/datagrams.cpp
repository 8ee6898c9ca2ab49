// The plugin of the tests of datagrams, built as "v1" and "v2". To each datagram it answers
// "VERSION DATA"; an empty one it answers with an empty one.
//   throw        an exception, and no answer
//   later N      "VERSION later", N milliseconds after
//   size         "VERSION BYTES", and " truncated" where it was
//   where        "REMOTE LISTENER"
// A datagram of "size" and anything behind it is one of these, too.
#include <appserver/plugin.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

const std::string kVersion = DATAGRAMS_VERSION;

class Datagrams final : public appserver::Plugin {
 public:
  void on_datagram(appserver::Datagram& datagram) override {
    const std::string_view data = datagram.data();
    if (data.empty()) {
      datagram.reply({});
    } else if (data == "throw") {
      throw std::runtime_error("as it was asked to");
    } else if (data.starts_with("later ")) {
      answer_later(datagram);
    } else if (data.starts_with("size")) {
      datagram.reply(kVersion + " " + std::to_string(data.size()) +
                     (datagram.truncated() ? " truncated" : ""));
    } else if (data == "where") {
      datagram.reply(std::string(datagram.remote()) + " " + std::string(datagram.listener()));
    } else {
      datagram.reply(kVersion + " " + std::string(data));
    }
  }

 private:
  void answer_later(const appserver::Datagram& datagram) {
    std::uint32_t wait = 0;
    const std::string_view number = datagram.data().substr(6);
    std::from_chars(number.data(), number.data() + number.size(), wait);
    auto reply = std::make_unique<appserver::PendingReply>(datagram.defer());
    worker()
        .after(std::chrono::milliseconds(wait),
               [reply = std::move(reply)] { reply->send(kVersion + " later"); })
        .detach();
  }
};

}  // namespace

APPSERVER_PLUGIN(Datagrams, "datagrams", DATAGRAMS_VERSION)
