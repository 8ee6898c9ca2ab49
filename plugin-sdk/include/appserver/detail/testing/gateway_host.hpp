// "gateway/1" of a host in memory: what clients of a gateway do comes to the plugin, and what it
// asks of the gateway is done.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/gateway.h>

#include <algorithm>
#include <appserver/detail/testing/core.hpp>
#include <appserver/detail/testing/gateway_commands.hpp>
#include <appserver/detail/testing/shared_gateway.hpp>
#include <appserver/detail/text.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace appserver::testing {

// Of a business group's worker. Events, answers and farewells come in turn(), never within a call
// of the plugin's.
class GatewayHost final : public Extension, private GatewayMember {
 public:
  static constexpr std::size_t kMostQuestions = 65'536;

  static constexpr const char* kName = APPSERVER_GATEWAY;
  static const void* table() noexcept {
    static constexpr appserver_gateway_host kTable{
        sizeof(appserver_gateway_host), 0, &client_info, &tell, &ask, &forget, &acknowledge};
    return &kTable;
  }

  explicit GatewayHost(Core& core)
      : Extension(core),
        gateway_(core.options().gateway ? core.options().gateway
                                        : std::make_shared<SharedGateway>()) {}
  ~GatewayHost() override { gateway_->leave(*this); }

  const std::shared_ptr<SharedGateway>& gateway() const { return gateway_; }

  void attach(const appserver_plugin& plugin, void* self) override {
    plugin_ = read_table<appserver_gateway_plugin>(plugin, kName);
    self_ = self;
  }
  void started() override {
    if (has_hooks()) gateway_->join(*this);
  }
  void drain() override { gateway_->drain(*this); }
  // Clients go to the successor, or to another one that is behind the gateway.
  void hand_over(Extension& successor) override {
    auto& other = dynamic_cast<GatewayHost&>(successor);
    if (gateway_->has_clients()) other.follow(gateway_);
    gateway_->drain(*this);
  }
  void detach() override {
    self_ = nullptr;
    questions_.clear();
    due_.clear();
    gateway_->leave(*this);
  }

  // Throws std::logic_error where the plugin has no such clients.
  std::shared_ptr<KeptClient> connect(std::shared_ptr<Wire> wire, const HttpRequest* request) {
    if (!has_hooks())
      throw std::logic_error(
          "a client of a gateway for a plugin that has no on_client_message, or has ended");
    KeptClient made;
    made.served.wire = std::move(wire);
    made.max_message = core().options().max_message;
    made.send_buffer = core().options().send_buffer;
    return gateway_->connect(*this, std::move(made),
                             request == nullptr ? nullptr : opening_of(*request));
  }

  bool turn() override {
    bool any = gateway_->settle();
    any = answer() || any;
    if (!due_.empty()) {
      const std::function<void()> next = std::move(due_.front());
      due_.pop_front();
      next();
      return true;
    }
    return deliver() || any;
  }

 private:
  // A client, as this worker knows it.
  struct Known {
    std::shared_ptr<const Wire> wire;
    std::string uid;
    std::string session;
    std::uint64_t session_version;
  };
  struct Question {
    appserver_gateway_done done;
    void* argument;
    GatewayResult result;
    std::optional<std::uint64_t> deadline;  // nullopt: the answer is there
  };

  bool has_hooks() const { return self_ != nullptr && plugin_.on_client_message != nullptr; }
  void follow(const std::shared_ptr<SharedGateway>& gateway) {
    if (gateway_ == gateway) return;
    if (gateway_->has_clients())
      throw std::logic_error(
          "a successor with clients at a gateway of its own: give both Options::gateway");
    gateway_->leave(*this);
    gateway_ = gateway;
    started();
  }

  // What a gateway passes on of it.
  static std::shared_ptr<const HttpRequest> opening_of(const HttpRequest& request) {
    auto opening = std::make_shared<HttpRequest>(request);
    opening->body.clear();
    opening->tls.reset();
    return opening;
  }

  void assigned(const KeptClient& client) override {
    known_[ClientId(client.id)] = {client.served.wire, client.uid, client.session,
                                   client.session_version};
  }
  void changed(const KeptClient& client) override {
    due_.push_back(
        [this, id = ClientId(client.id),
         told = Known{client.served.wire, client.uid, client.session, client.session_version}] {
          const auto found = known_.find(id);
          if (found != known_.end()) found->second = told;
        });
  }
  void was_lost(std::uint64_t instance) override {
    for (auto& [id, question] : questions_) {
      question.result = {.partial = true};
      question.deadline.reset();
    }
    for (const auto& [id, known] : known_) {
      if (id.raw().gateway == instance) due_.push_back([this, gone = id] { say_farewell(gone); });
    }
  }
  void complain(std::string_view text) override {
    core().write_log(APPSERVER_LOG_WARNING, "gateway: " + std::string(text));
  }
  void run() override { core().run(); }

  // A question that has its answer, or gets none any more.
  bool answer() {
    const auto is_due = [this](const auto& each) {
      return !each.second.deadline || *each.second.deadline <= core().now();
    };
    const auto found = std::find_if(questions_.begin(), questions_.end(), is_due);
    if (found == questions_.end()) return false;
    const Question question = std::move(found->second);
    questions_.erase(found);
    tell_result(question);
    return true;
  }
  static void tell_result(const Question& question) {
    const GatewayResult& result = question.result;
    std::vector<appserver_client_record> clients;
    for (const auto& each : result.clients)
      clients.push_back(
          {each.client, detail::str(each.uid), detail::str(each.session), each.session_version});
    std::vector<appserver_named_count> names;
    for (const auto& [name, count] : result.names) names.push_back({detail::str(name), count});
    const appserver_gateway_result raw{sizeof(raw),
                                       result.status,
                                       result.partial ? 1U : 0U,
                                       static_cast<std::uint32_t>(clients.size()),
                                       clients.data(),
                                       sizeof(appserver_client_record),
                                       static_cast<std::uint32_t>(names.size()),
                                       names.data(),
                                       sizeof(appserver_named_count),
                                       0,
                                       result.number};
    question.done(question.argument, &raw);
  }

  bool deliver() {
    if (!has_hooks()) return false;
    const auto next = gateway_->next(*this);
    if (!next) return false;
    const ClientId id(next->client->id);
    Known& known = known_.at(id);
    known.session = next->client->session;
    known.session_version = next->client->session_version;
    const appserver_client_event told{sizeof(told), next->event.redelivered ? 1U : 0U,
                                      id.raw().gateway, next->number};
    const bool later = call_hook(id, next->event, told);
    if (next->event.kind == GatewayEvent::Kind::kClose) known_.erase(id);
    if (!later) gateway_->acknowledge(*this, told);
    return true;
  }
  void say_farewell(ClientId id) {
    const appserver_client_event told{sizeof(told), 0, 0, 0};
    call_hook(id,
              {GatewayEvent::Kind::kClose, APPSERVER_CLOSED_FAILURE, 0,
               "the link to its gateway worker has ended"},
              told);
    known_.erase(id);
  }

  // Whether it is acknowledged later.
  bool call_hook(ClientId id, const GatewayEvent& event, const appserver_client_event& told) {
    constexpr const char* kNames[] = {"on_client_connect", "on_client_websocket_open",
                                      "on_client_message", "on_client_close"};
    core().forget_error();
    const std::int32_t result = result_of(id.raw(), event, told);
    if (result != APPSERVER_OK && result != APPSERVER_LATER)
      core().log_failure(kNames[static_cast<std::size_t>(event.kind)]);
    return result == APPSERVER_LATER;
  }
  std::int32_t result_of(appserver_client_id id, const GatewayEvent& event,
                         const appserver_client_event& told) {
    switch (event.kind) {
      case GatewayEvent::Kind::kConnect:
        if (plugin_.on_client_connect == nullptr) return APPSERVER_OK;
        return plugin_.on_client_connect(self_, id, &told);
      case GatewayEvent::Kind::kWebSocketOpen:
        if (plugin_.on_client_websocket_open == nullptr) return APPSERVER_OK;
        return plugin_.on_client_websocket_open(self_, id, &RawRequest(*event.request).raw(),
                                                &told);
      case GatewayEvent::Kind::kMessage:
        return plugin_.on_client_message(self_, id, event.detail, detail::str(event.body), &told);
      case GatewayEvent::Kind::kClose:
        break;
    }
    if (plugin_.on_client_close == nullptr) return APPSERVER_OK;
    return plugin_.on_client_close(self_, id, event.detail, event.code, detail::str(event.body),
                                   &told);
  }

  // Whether there is a gateway worker that it is for.
  bool reaches(const appserver_gateway_command& command) const {
    if (gateway_->instance() == 0) return false;
    if (command.scope != APPSERVER_SCOPE_CLIENTS) return true;
    return std::any_of(command.clients, command.clients + command.client_count,
                       [&](auto id) { return id.gateway == gateway_->instance(); });
  }
  bool is_partial(const appserver_gateway_command& command) const {
    if (command.scope != APPSERVER_SCOPE_CLIENTS)
      return gateway_->is_partial() || gateway_->instance() == 0;
    return std::any_of(command.clients, command.clients + command.client_count, [&](auto id) {
      return id.gateway != gateway_->instance() || gateway_->instance() == 0;
    });
  }
  // What this worker has changed of its own clients, it knows.
  void remember(const appserver_gateway_command& command) {
    if (command.scope != APPSERVER_SCOPE_CLIENTS) return;
    for (std::uint32_t i = 0; i < command.client_count; ++i) {
      const auto found = known_.find(ClientId(command.clients[i]));
      if (found == known_.end()) continue;
      Known& known = found->second;
      if (command.verb == APPSERVER_VERB_BIND_UID && command.name.size > 0)
        known.uid = detail::view(command.name);
      if (command.verb == APPSERVER_VERB_UNBIND_UID) known.uid.clear();
      if (command.verb == APPSERVER_VERB_SET_SESSION && command.has_expected == 0 &&
          command.body.size <= APPSERVER_GATEWAY_SESSION_MAX)
        known.session = detail::view(command.body);
    }
  }

  // call(GatewayHost&) on the loop.
  template <class Call>
  static std::int32_t with(appserver_worker* worker, Call&& call) {
    if (!Core::of(worker).on_loop()) return APPSERVER_INVALID;
    return call(Core::of(worker).extension<GatewayHost>());
  }

  static std::int32_t client_info(appserver_worker* worker, appserver_client_id client,
                                  appserver_client_info* info) noexcept {
    return with(worker, [&](GatewayHost& host) {
      const auto found = host.known_.find(ClientId(client));
      if (found == host.known_.end()) return APPSERVER_NOT_FOUND;
      const Known& known = found->second;
      const appserver_client_info full{std::min<std::uint32_t>(info->size, sizeof(full)),
                                       0,
                                       detail::str(protocol_name(known.wire->protocol)),
                                       detail::str(known.wire->remote),
                                       detail::str(known.wire->local),
                                       detail::str(known.wire->listener),
                                       detail::str(known.uid),
                                       detail::str(known.session),
                                       known.session_version};
      std::memcpy(info, &full, full.size);
      return APPSERVER_OK;
    });
  }
  static std::int32_t tell(appserver_worker* worker,
                           const appserver_gateway_command* command) noexcept {
    return with(worker, [&](GatewayHost& host) {
      if (!is_gateway_command(*command)) return APPSERVER_INVALID;
      if (!host.has_hooks() || !host.reaches(*command)) return APPSERVER_GONE;
      if (host.gateway_->is_full()) return APPSERVER_LIMIT;
      host.gateway_->run(host, *command);
      host.remember(*command);
      return APPSERVER_OK;
    });
  }
  static std::int32_t ask(appserver_worker* worker, const appserver_gateway_command* command,
                          std::uint64_t timeout, appserver_gateway_done done, void* argument,
                          std::uint64_t* request) noexcept {
    constexpr std::uint64_t kLongest = 3'600'000;
    return with(worker, [&](GatewayHost& host) {
      if (!is_gateway_command(*command) || done == nullptr) return APPSERVER_INVALID;
      if (!host.has_hooks()) return APPSERVER_GONE;
      const bool reaches = host.reaches(*command);
      if ((reaches && host.gateway_->is_full()) || host.questions_.size() >= kMostQuestions)
        return APPSERVER_LIMIT;
      Question question{done, argument, {}, {}};
      question.result.partial = host.is_partial(*command);
      if (reaches) {
        GatewayResult result = host.gateway_->run(host, *command);
        host.remember(*command);
        if (host.gateway_->is_silent()) {
          question.result.partial = true;
          question.deadline = host.core().now() + std::min(timeout, kLongest);
        } else {
          result.partial = question.result.partial;
          question.result = std::move(result);
        }
      }
      *request = ++host.last_question_;
      host.questions_.emplace(*request, std::move(question));
      return APPSERVER_OK;
    });
  }
  static std::int32_t forget(appserver_worker* worker, std::uint64_t request) noexcept {
    return with(worker, [&](GatewayHost& host) {
      if (!host.has_hooks()) return APPSERVER_GONE;
      host.questions_.erase(request);
      return APPSERVER_OK;
    });
  }
  static std::int32_t acknowledge(appserver_worker* worker,
                                  const appserver_client_event* event) noexcept {
    return with(worker, [&](GatewayHost& host) {
      return host.gateway_->acknowledge(host, *event) ? APPSERVER_OK : APPSERVER_GONE;
    });
  }

  std::shared_ptr<SharedGateway> gateway_;
  appserver_gateway_plugin plugin_{};
  void* self_ = nullptr;
  std::map<ClientId, Known> known_;
  std::map<std::uint64_t, Question> questions_;
  std::uint64_t last_question_ = 0;
  std::deque<std::function<void()>> due_;
};

}  // namespace appserver::testing
