// A plugin that does to the bus, by the C interface, whatever it can. GET /begin?what=WHAT, and
// from then on, in each turn of its loop, until the host refuses it:
//   publish    publishes its own topics of 255 bytes, with 64 KiB and with nothing
//   news       publishes "news", which others hear
//   set        sets ever new keys, of 255 bytes, with 64 KiB and with nothing, for ever
//   subscribe  subscribes to ever new topics, and ends each tenth of them twice
//   wrong      names and values of wrong sizes, no function, wrong subscriptions
//   nonsense   sends what is no message over its connection to the bus
// GET / tells how many times it was taken and refused: "ok 1 limit 2 invalid 3 not_found 4".
#include <appserver/abi.h>
#include <appserver/abi/bus.h>
#include <appserver/abi/http.h>
#include <appserver/abi/note.h>
#include <sys/socket.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace {

appserver_str view(std::string_view text) { return {text.data(), text.size()}; }

void heard(void*, appserver_str, std::uint64_t) noexcept {}
void done(void*, const appserver_bus_result*) noexcept {}

class Abuse {
 public:
  Abuse(const appserver_host* host, appserver_worker* worker)
      : host_(host),
        worker_(worker),
        http_(static_cast<const appserver_http_host*>(host->extension(APPSERVER_HTTP))),
        bus_(static_cast<const appserver_bus_host*>(host->extension(APPSERVER_BUS))) {}

  std::int32_t on_request(const appserver_http_request& request, appserver_exchange exchange) {
    const std::string_view path(request.path.data, request.path.size);
    if (path == "/begin") {
      what_ = std::string_view(request.query.data, request.query.size).substr(5);
      if (timer_ == 0) timer_ = host_->timer_start(worker_, 1, 1, &turn, this);
    }
    const std::string text = "ok " + std::to_string(results_[APPSERVER_OK]) + " limit " +
                             std::to_string(results_[APPSERVER_LIMIT]) + " invalid " +
                             std::to_string(results_[APPSERVER_INVALID]) + " not_found " +
                             std::to_string(results_[APPSERVER_NOT_FOUND]);
    appserver_http_response response{};
    response.size = sizeof(response);
    response.status = 200;
    response.header_stride = sizeof(appserver_header);
    response.body = view(text);
    return http_->respond(worker_, exchange, &response);
  }

 private:
  static void turn(void* self) noexcept { static_cast<Abuse*>(self)->abuse(); }

  void abuse() {
    if (what_ == "wrong") return all_that_is_wrong();
    if (what_ == "nonsense") return talk_nonsense();
    // A bound, for what the host does not refuse: its loop is to turn.
    for (int i = 0; i < 1000; ++i) {
      if (count(once()) == APPSERVER_LIMIT) return;
    }
  }

  std::int32_t count(std::int32_t result) {
    ++results_[result];
    return result;
  }

  std::int32_t once() {
    const std::string_view value = ++number_ % 2 == 0 ? std::string_view(huge_) : "";
    if (what_ == "news") return bus_->publish(worker_, view("news"), view(huge_));
    std::string name = std::to_string(number_);
    name.resize(APPSERVER_BUS_NAME_MAX, 'x');
    if (what_ == "publish") return bus_->publish(worker_, view(name), view(value));
    if (what_ == "set")
      return bus_->set(worker_, view(name), view(value), 0, APPSERVER_BUS_ALWAYS, 0, &done, this);
    appserver_subscription subscription = 0;
    const std::int32_t result = bus_->subscribe(worker_, view(name), &heard, this, &subscription);
    if (number_ % 10 == 0) {
      for (int i = 0; i < 2; ++i) count(bus_->unsubscribe(worker_, subscription));
    }
    return result;
  }

  void all_that_is_wrong() {
    const std::string longer(APPSERVER_BUS_NAME_MAX + 1, 'x');
    const std::string larger(APPSERVER_BUS_VALUE_MAX + 1, 'x');
    for (const std::string_view name : {std::string_view(), std::string_view(longer)}) {
      count(bus_->publish(worker_, view(name), view("x")));
      count(bus_->get(worker_, view(name), &done, this));
      count(bus_->subscribe(worker_, view(name), &heard, this, nullptr));
    }
    count(bus_->publish(worker_, view("news"), view(larger)));
    count(bus_->set(worker_, view("key"), view(larger), 0, 7, 0, &done, this));
    count(bus_->set(worker_, view("key"), view("x"), 0, 7, 0, &done, this));
    count(bus_->get(worker_, view("key"), nullptr, nullptr));
    count(bus_->unsubscribe(worker_, 0));
    count(bus_->unsubscribe(worker_, UINT64_MAX));
    count(bus_->on_reset(worker_, nullptr, nullptr));
  }

  static std::set<int> message_sockets() {
    std::set<int> sockets;
    for (int socket = 3; socket < 64; ++socket) {
      int type = 0;
      socklen_t size = sizeof(type);
      if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
        sockets.insert(socket);
    }
    return sockets;
  }

  // Over what has come since this plugin has first asked something of the bus.
  void talk_nonsense() const {
    for (const int socket : message_sockets()) {
      if (!sockets_before_.contains(socket))
        static_cast<void>(::send(socket, "nonsense", 8, MSG_NOSIGNAL | MSG_DONTWAIT));
    }
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_http_host* http_;
  const appserver_bus_host* bus_;
  std::string what_;
  appserver_timer timer_ = 0;
  const std::string huge_ = std::string(APPSERVER_BUS_VALUE_MAX, 'h');
  std::uint64_t number_ = 0;
  std::map<std::int32_t, std::uint64_t> results_;
  const std::set<int> sockets_before_ = message_sockets();
};

std::int32_t create(const appserver_host* host, appserver_worker* worker, void** self) noexcept {
  *self = new Abuse(host, worker);
  return APPSERVER_OK;
}

const appserver_http_plugin kHttp = {
    sizeof(kHttp), 0,
    [](void* self, const appserver_http_request* request, appserver_exchange exchange) noexcept {
      return static_cast<Abuse*>(self)->on_request(*request, exchange);
    },
    nullptr};

}  // namespace

APPSERVER_NOTE("bus_abuse", "1.0.0");

extern "C" const appserver_plugin appserver_plugin_v1 = {
    sizeof(appserver_plugin),
    APPSERVER_ABI_MAJOR,
    APPSERVER_ABI_MINOR,
    "bus_abuse",
    "1.0.0",
    create,
    [](void* self) noexcept { delete static_cast<Abuse*>(self); },
    nullptr,
    nullptr,
    nullptr,
    [](const char* name) noexcept -> const void* {
      return std::string_view(name) == APPSERVER_HTTP ? &kHttp : nullptr;
    },
    nullptr,
};
