// A gateway worker with real clients, and business workers on real links, all on one thread.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../net/stream_server_harness.hpp"
#include "gateway/business.hpp"
#include "gateway/gateway.hpp"

namespace appserver::test {

struct Doors {
  Doors(boost::asio::io_context& context, std::uint64_t instance,
        const gateway::GatewayOptions& options, const net::StreamLimits& limits)
      : gate(context, {instance, static_cast<std::uint32_t>(instance), 1, "doors"}, options,
             [this](const std::string& what) { complaints.push_back(what); }),
        server(context, limits, gate, page) {
    gate.start(server);
  }
  Client connect() {
    auto [served, client] = os::make_socket_pair(SOCK_STREAM);
    server.serve(std::move(served), listener_of("text"));
    return Client(std::move(client));
  }

  // To business workers it is gone from now on.
  void cut_links() {
    for (const os::Fd& link : links) os::check(::shutdown(link.get(), SHUT_RDWR), "shutdown()");
    links.clear();
  }

  std::vector<os::Fd> links;
  std::vector<std::string> complaints;
  telemetry::WorkerPage page;
  gateway::Gateway gate;
  net::StreamServer server;
};

// Acknowledges at once, unless `keeps`.
struct Worker {
  struct Told {
    gateway::EventId id;
    gateway::ClientId client;
    gateway::EventKind kind;
    std::uint8_t detail;
    bool redelivered;
    std::string body;
    std::string remote, uid, session;
  };
  explicit Worker(boost::asio::io_context& context)
      : business(context, {0, "chat"},
                 {[this](const gateway::ClientEvent& event) { return take(event); },
                  [this](const std::string& what) { complaints.push_back(what); }, [] {}}) {}

  bool take(const gateway::ClientEvent& event) {
    const auto* known = business.find(event.client);
    REQUIRE(known != nullptr);
    told.push_back({event.id, event.client, event.kind, event.detail, event.redelivered,
                    std::string(event.body), known->remote, known->uid, known->session.bytes});
    return !keeps;
  }
  // "connect", messages by their text, "close"; "!" behind what is redelivered.
  std::string story() const {
    std::string text;
    for (const auto& each : told) {
      text += each.kind == gateway::EventKind::connect   ? "connect"
              : each.kind == gateway::EventKind::message ? each.body
                                                         : "close";
      text += each.redelivered ? "! " : " ";
    }
    return text;
  }

  bool keeps = false;
  std::vector<Told> told;
  std::vector<std::string> complaints;
  gateway::Business business;
};

struct Town {
  explicit Town(gateway::GatewayOptions with = {},
                net::StreamLimits stream_limits = small_stream_limits())
      : options(with), limits(stream_limits) {
    open_doors();
  }
  Doors& open_doors() {
    doors.push_back(std::make_unique<Doors>(context, 101 + opened++, options, limits));
    return *doors.back();
  }
  Worker& work(bool keeps = false) {
    workers.push_back(std::make_unique<Worker>(context));
    Worker& worker = *workers.back();
    worker.keeps = keeps;
    for (auto& each : doors) link(*each, worker);
    REQUIRE(until([&] { return worker.business.gateways() == doors.size(); }));
    worker.business.begin();
    settle(context);
    return worker;
  }
  void link(Doors& door, Worker& worker) {
    auto [gate_end, worker_end] = os::make_socket_pair(SOCK_STREAM);
    door.links.emplace_back(os::check(::dup(gate_end.get()), "dup()"));
    door.gate.add_link(std::move(gate_end));
    worker.business.add_link(std::move(worker_end));
  }
  template <class State>
  bool until(State&& state) {
    return run_until(context, state);
  }
  bool tells(Worker& worker, const std::string& story) {
    until([&] { return worker.story().size() >= story.size(); });
    settle(context);
    return worker.story() == story;
  }
  bool gets(Client& client, const std::string& all) {
    until([&] {
      client.read_all();
      return client.received.size() >= all.size();
    });
    return client.received == all;
  }
  gateway::Requests::Result ask(Worker& worker, const gateway::Audience& audience,
                                const gateway::Command& command) {
    std::optional<gateway::Requests::Result> got;
    gateway::Business::Sent sent{};
    REQUIRE(worker.business.ask(
                audience, command, std::chrono::seconds(10),
                [&](const gateway::Requests::Result& result) { got = result; }, sent) != 0);
    REQUIRE(until([&] {
      if (!got) worker.business.tick();
      return got.has_value();
    }));
    return *got;
  }

  boost::asio::io_context context{1};
  gateway::GatewayOptions options;
  net::StreamLimits limits;
  std::uint64_t opened = 0;
  std::vector<std::unique_ptr<Doors>> doors;
  std::vector<std::unique_ptr<Worker>> workers;
};

}  // namespace appserver::test
