// The bus as requests: /publish/TEXT to the topic "news", /add counts "count", /count, /set/VALUE
// and /get of "key", /keep/KEY sets that to 4 KiB. /linger/PORT passes sockets on to the daemon
// that are connected to the port and whose close waits. /flood publishes 2 MiB of "news". /seen
// tells who answers, what it has seen of "news" and how often the bus was lost.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using namespace appserver;

// A connection to the port over which nothing more goes, and whose close waits for an hour.
int lingering(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0)
    throw std::runtime_error("cannot connect");
  const std::array<char, 65536> filler{};
  while (::send(fd, filler.data(), filler.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
  const linger for_ever{1, 3600};
  if (::setsockopt(fd, SOL_SOCKET, SO_LINGER, &for_ever, sizeof(for_ever)) < 0)
    throw std::runtime_error("cannot linger");
  return fd;
}

// As the channel's want_bus: version, kind, slot, number.
struct Message {
  std::uint16_t version = 3;
  std::uint16_t kind = 106;
  std::uint32_t slot = 0;
  std::uint64_t number = 0;
};

bool pass(int socket, int fd) {
  Message bytes;
  iovec vector{&bytes, sizeof(bytes)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool is_message_socket(int socket) {
  int type = 0;
  socklen_t size = sizeof(type);
  return ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

// As a worker does whose connection is on its way. Its channel is the first message socket.
bool ask_again() {
  const Message message;
  for (int socket = 3; socket < 64; ++socket) {
    if (is_message_socket(socket))
      return ::send(socket, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
  }
  return false;
}

// To whoever is at the other end of this worker's message sockets; its channel is the first.
int give_lingering(int port) {
  int given = 0;
  for (int socket = 63; socket >= 3; --socket) {
    if (!is_message_socket(socket)) continue;
    const int fd = lingering(port);
    if (pass(socket, fd)) ++given;
    ::close(fd);
  }
  return given;
}

class BusProbe final : public Plugin {
 public:
  void on_worker_start(Worker& worker) override {
    news_ = worker.bus().subscribe("news", [this](const BusMessage& message) {
      seen_ += "[" + std::string(message.text.substr(0, 30)) + "]";
      lost_ += message.lost;
    });
    worker.bus().on_reset([this] { ++resets_; });
  }

  void on_request(Request& request, Response& response) override {
    const std::string path(request.path());
    const std::string rest = path.substr(path.rfind('/') + 1);
    Bus& bus = worker().bus();
    if (path.starts_with("/publish/")) {
      bus.publish("news", rest);
      response.text("published");
    } else if (path == "/flood") {
      for (int i = 0; i < 32; ++i) bus.publish("news", std::string(65'536, 'f'));
      response.text("flooded");
    } else if (path == "/add") {
      bus.add("count", 1, Bus::kForEver,
              [later = response.defer()](Outcome<std::int64_t> sum) mutable {
                answer(later, sum, [&] { return std::to_string(sum.value()); });
              });
    } else if (path.starts_with("/set/") || path.starts_with("/keep/")) {
      const bool is_set = path.starts_with("/set/");
      bus.set(is_set ? "key" : rest, is_set ? rest : std::string(4096, 'k'), Bus::kForEver,
              [later = response.defer()](Outcome<std::uint64_t> version) mutable {
                answer(later, version, [] { return std::string("set"); });
              });
    } else if (path == "/get" || path == "/count") {
      bus.get(path == "/get" ? "key" : "count",
              [later = response.defer()](Outcome<std::optional<BusValue>> found) mutable {
                answer(later, found, [&] {
                  return found.value() ? found.value()->value : std::string("(none)");
                });
              });
    } else if (path == "/ask-again") {
      response.text(ask_again() ? "asked" : "not");
    } else if (path.starts_with("/linger/")) {
      response.text("given " + std::to_string(give_lingering(std::stoi(rest))));
    } else {
      response.text(std::to_string(::getpid()) + " resets " + std::to_string(resets_) + " lost " +
                    std::to_string(lost_) + " " + seen_);
    }
  }

 private:
  template <class T, class Text>
  static void answer(Deferred& later, const Outcome<T>& outcome, Text&& text) {
    if (outcome) {
      later.text(text()).send();
    } else {
      later.status(503).text("unreachable").send();
    }
  }

  Subscription news_;
  std::string seen_;
  std::uint64_t lost_ = 0;
  int resets_ = 0;
};

}  // namespace

APPSERVER_PLUGIN(BusProbe, "bus", "1.0.0")
