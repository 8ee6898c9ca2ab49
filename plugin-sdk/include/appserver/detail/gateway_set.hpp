// What a worker has asked of its gateway, and not been answered yet.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <appserver/detail/boundary.hpp>
#include <appserver/detail/text.hpp>
#include <appserver/outcome.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace appserver {

// Why something that was asked of a gateway has failed.
class GatewayError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// 64 MiB wait for a gateway worker, or 65,536 answers are waited for.
class GatewayFull final : public GatewayError {
 public:
  GatewayFull() : GatewayError("too much waits for the gateway") {}
};
// The gateway worker that holds the client is away, or did not answer in time.
class GatewayUnreachable final : public GatewayError {
 public:
  GatewayUnreachable()
      : GatewayError("the gateway gives no answer; it may have been done or not") {}
};

namespace detail {

inline void check_gateway(const appserver_gateway_result& result) {
  switch (result.status) {
    case APPSERVER_OK:
    case APPSERVER_GATEWAY_NO_CLIENT:
      return;
    case APPSERVER_GATEWAY_TOO_LARGE:
      throw GatewayError("the answer is too large: ask about fewer clients");
    case APPSERVER_GATEWAY_FULL:
      throw GatewayError("the client is in 256 groups already");
    default:
      throw GatewayError("the gateway refuses it");
  }
}

template <class Function>
void for_each_record(const appserver_gateway_result& result, Function&& function) {
  const auto* at = reinterpret_cast<const char*>(result.clients);
  for (std::uint32_t i = 0; i < result.client_count; ++i, at += result.client_stride)
    function(*reinterpret_cast<const appserver_client_record*>(at));
}

template <class Function>
void for_each_name(const appserver_gateway_result& result, Function&& function) {
  const auto* at = reinterpret_cast<const char*>(result.names);
  for (std::uint32_t i = 0; i < result.name_count; ++i, at += result.name_stride)
    function(*reinterpret_cast<const appserver_named_count*>(at));
}

class GatewaySet;

// The event whose hook runs.
struct EventAtHand {
  const appserver_client_event* event;
  bool held = false;
};

// Acknowledges its event when the last who holds it lets go.
class HeldEvent {
 public:
  HeldEvent(std::weak_ptr<GatewaySet*> set, const appserver_client_event& event) noexcept
      : set_(std::move(set)), event_(event) {}
  HeldEvent(const HeldEvent&) = delete;
  HeldEvent& operator=(const HeldEvent&) = delete;
  inline ~HeldEvent();

 private:
  std::weak_ptr<GatewaySet*> set_;
  appserver_client_event event_;
};

// One question under way.
class GatewayQuestion {
 public:
  GatewayQuestion() = default;
  GatewayQuestion(const GatewayQuestion&) = delete;
  GatewayQuestion& operator=(const GatewayQuestion&) = delete;
  virtual ~GatewayQuestion() = default;
  virtual void end(const appserver_gateway_result& result) = 0;

  GatewaySet* set = nullptr;
  std::uint64_t id = 0;
};

// `read` makes the value of a result, or throws.
template <class Done, class Read>
class GatewayQuestionOf final : public GatewayQuestion {
 public:
  template <class D>
  GatewayQuestionOf(std::in_place_t, D&& done, Read read)
      : done_(std::forward<D>(done)), read_(std::move(read)) {}
  void end(const appserver_gateway_result& result) override {
    done_(outcome_of([&] { return read_(result); }));
  }

 private:
  Done done_;
  Read read_;
};

// Owns the functions that are called with answers. Loop thread only.
class GatewaySet {
 public:
  GatewaySet(const appserver_host* host, appserver_worker* worker) noexcept
      : host_(host), worker_(worker) {}
  GatewaySet(const GatewaySet&) = delete;
  GatewaySet& operator=(const GatewaySet&) = delete;
  ~GatewaySet() { clear(); }

  const appserver_gateway_host& table() {
    if (gateway_ == nullptr) {
      const auto* const gateway =
          static_cast<const appserver_gateway_host*>(host_->extension(APPSERVER_GATEWAY));
      if (gateway == nullptr || !APPSERVER_HAS(appserver_gateway_host, gateway, acknowledge))
        throw GatewayError("the host lacks " APPSERVER_GATEWAY);
      gateway_ = gateway;
    }
    return *gateway_;
  }

  appserver_client_info info(appserver_client_id client) {
    appserver_client_info info{};
    info.size = sizeof(info);
    if (table().client_info(worker_, client, &info) != APPSERVER_OK) return {};
    return info;
  }

  // False: no gateway worker is there that holds them.
  bool tell(const appserver_gateway_command& command) {
    const std::int32_t result = table().tell(worker_, &command);
    if (result == APPSERVER_GONE) return false;
    check(result);
    return true;
  }

  template <class Done, class Read>
  void ask(const appserver_gateway_command& command, std::chrono::milliseconds timeout, Done&& done,
           Read read) {
    using Question = GatewayQuestionOf<std::decay_t<Done>, Read>;
    auto question =
        std::make_unique<Question>(std::in_place, std::forward<Done>(done), std::move(read));
    GatewayQuestion* const raw = question.get();
    raw->set = this;
    const auto milliseconds = timeout.count() > 0 ? static_cast<std::uint64_t>(timeout.count()) : 0;
    check(table().ask(worker_, &command, milliseconds, &end, raw, &raw->id));
    questions_.emplace(raw, std::move(question));
  }

  std::shared_ptr<HeldEvent> hold(EventAtHand& event) {
    auto held = std::make_shared<HeldEvent>(self_, *event.event);
    event.held = true;
    return held;
  }

  void acknowledge(const appserver_client_event& event) noexcept {
    if (gateway_ != nullptr) gateway_->acknowledge(worker_, &event);
  }

  // Events that are held stay unacknowledged from here on, whoever lets them go.
  void keep_held() noexcept { self_.reset(); }

  // No answer comes any more.
  void clear() noexcept {
    keep_held();
    while (!questions_.empty()) {
      const auto dropped = questions_.extract(questions_.begin());
      gateway_->forget(worker_, dropped.mapped()->id);
    }
  }

 private:
  static void check(std::int32_t result) {
    switch (result) {
      case APPSERVER_OK:
        return;
      case APPSERVER_LIMIT:
        throw GatewayFull();
      case APPSERVER_INVALID:
        throw std::invalid_argument(
            "the gateway refuses it: a name is over 255 bytes, a message over 32 MiB, or more than "
            "65,536 clients or names are given; or this is not the loop's thread");
      case APPSERVER_GONE:
        throw GatewayError(
            "there is no gateway: the group is no business group, or the worker ends");
      default:
        throw GatewayError("the gateway has failed");
    }
  }

  static void end(void* argument, const appserver_gateway_result* result) noexcept {
    auto* const raw = static_cast<GatewayQuestion*>(argument);
    GatewaySet& set = *raw->set;
    const auto ended = set.questions_.extract(raw);
    try {
      ended.mapped()->end(*result);
    } catch (...) {
      log_exception(set.host_, set.worker_, "an answer of the gateway");
    }
  }

  const appserver_host* host_;
  appserver_worker* worker_;
  const appserver_gateway_host* gateway_ = nullptr;
  std::unordered_map<GatewayQuestion*, std::unique_ptr<GatewayQuestion>> questions_;
  std::shared_ptr<GatewaySet*> self_ = std::make_shared<GatewaySet*>(this);
};

inline HeldEvent::~HeldEvent() {
  if (const auto set = set_.lock()) (*set)->acknowledge(event_);
}

}  // namespace detail
}  // namespace appserver
