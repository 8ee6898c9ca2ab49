#include "gateway/dialler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <stdexcept>
#include <utility>

#include "gateway/clock.hpp"
#include "net/client/http_call.hpp"

namespace appserver::gateway {

using boost::system::error_code;

// One gateway worker's address, for as long as there is such a worker.
struct Dialler::Line {
  Line(boost::asio::io_context& context, std::size_t of_gateway, std::uint32_t of_slot,
       DialTarget at)
      : gateway(of_gateway), slot(of_slot), target(std::move(at)), retry(context) {}

  std::size_t gateway;
  std::uint32_t slot;
  DialTarget target;
  boost::asio::steady_timer retry;
  std::uint64_t attempt = 0;                    // what belongs to an earlier one is not looked at
  net::client::Transport* transport = nullptr;  // of a coroutine that connects
  std::shared_ptr<LinkOpening> opening;
  milliseconds bound = kLeastDelay;
  std::string why;  // that people were told; empty: it went well, or was not tried
  Time opened_at{};
  bool linked = false;
  bool tried = false;
  bool dropped = false;
};

Dialler::Dialler(boost::asio::io_context& context, Business& business, Options options,
                 LinkKeysPtr keys, Hooks hooks)
    : context_(context),
      business_(business),
      options_(std::move(options)),
      keys_(std::move(keys)),
      hooks_(std::move(hooks)) {}

void Dialler::start() {
  for (std::size_t gateway = 0; gateway < options_.gateways; ++gateway) add_line(gateway, 0);
}

void Dialler::stop() {
  stopped_ = true;
  for (const LinePtr& line : lines_) drop(line);
}

std::size_t Dialler::linked() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(lines_, [](const LinePtr& line) { return line->linked; }));
}

void Dialler::add_line(std::size_t gateway, std::uint32_t slot) {
  auto target = options_.find(gateway, slot);
  if (!target) return;
  const auto line = std::make_shared<Line>(context_, gateway, slot, *std::move(target));
  lines_.push_back(line);
  business_.expect(lines_.size());
  dial(line);
}

void Dialler::drop(const LinePtr& line) {
  line->dropped = true;
  ++line->attempt;
  line->retry.cancel();
  if (line->transport != nullptr) line->transport->close();
  if (line->opening) std::exchange(line->opening, nullptr)->abandon();
}

void Dialler::dial(const LinePtr& line) {
  boost::asio::co_spawn(context_.get_executor(), connect(shared_from_this(), line, ++line->attempt),
                        [](const std::exception_ptr& error) {
                          if (error) std::rethrow_exception(error);
                        });
}

net::client::Work<> Dialler::connect(std::shared_ptr<Dialler> self, LinePtr line,
                                     std::uint64_t attempt) {
  net::client::Transport transport(context_);
  std::string why;
  os::Fd socket;
  line->transport = &transport;
  try {
    auto addresses = co_await transport.resolve(line->target.target);
    co_await transport.connect(std::move(addresses), net::client::Clock::now() + kConnectPatience);
    socket = transport.release().socket;
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (line->transport == &transport) line->transport = nullptr;
  if (self->stopped_ || line->attempt != attempt) co_return;
  if (!why.empty()) co_return failed(line, why, false);
  connected(line, std::move(socket));
}

void Dialler::connected(const LinePtr& line, os::Fd socket) {
  try {
    const bool tls = line->target.target.tls;
    if (!keys_ || keys_->secret.text.empty())
      throw std::runtime_error("the secret_file of the link could not be read");
    if (tls && !keys_->client)
      throw std::runtime_error("the authorities or the certificate of the link could not be read");
    line->opening =
        std::make_shared<LinkOpening>(context_, std::move(socket), Role::business, keys_);
    std::unique_ptr<net::tls::Session> session;
    if (tls) {
      const std::string& name =
          options_.server_name.empty() ? line->target.target.host : options_.server_name;
      session = net::tls::Session::connect(keys_->client, line->opening->handle(), name);
    }
    // It is over before this object: drop() abandons it.
    line->opening->start(std::move(session),
                         [this, line](LinkSocket* authentic, const std::string& why) {
                           const auto opening = std::exchange(line->opening, nullptr);
                           if (authentic == nullptr) return failed(line, why, false);
                           authenticated(line, std::move(*authentic));
                         });
  } catch (const std::exception& error) {
    line->opening = nullptr;
    failed(line, error.what(), false);
  }
}

void Dialler::authenticated(const LinePtr& line, LinkSocket socket) {
  // A link that another has taken the place of goes on, and nobody waits for its end.
  const auto is_current = [weak = weak_from_this(), line, attempt = line->attempt] {
    return !weak.expired() && line->attempt == attempt;
  };
  Business::Watch watch;
  watch.opened = [this, line, is_current](const Hello& peer) {
    if (is_current()) opened(line, peer);
  };
  watch.resized = [this, line, is_current](std::uint32_t workers) {
    if (is_current()) resized(line->gateway, workers);
  };
  watch.leaving = [this, line, is_current] {
    if (!is_current()) return;
    line->linked = false;
    line->bound = kLeastDelay;
    ++line->attempt;
    retry_later(line);
  };
  watch.ended = [this, line, is_current](const std::string& why, bool is_told) {
    if (is_current()) failed(line, why, is_told);
  };
  business_.add_link(std::move(socket), options_.timeout, std::move(watch));
}

void Dialler::opened(const LinePtr& line, const Hello& peer) {
  line->linked = true;
  line->opened_at = now();
  if (!std::exchange(line->why, {}).empty())
    hooks_.note(fmt::format("linked to gateway worker {}/{} at {} again", peer.group, peer.slot,
                            line->target.text));
  resized(line->gateway, peer.workers);
  tried(line);
}

void Dialler::resized(std::size_t gateway, std::uint32_t workers) {
  const std::uint32_t wanted = std::min(workers, kMostWorkers);
  std::uint32_t known = 0;
  std::erase_if(lines_, [&](const LinePtr& line) {
    if (line->gateway != gateway) return false;
    known = std::max(known, line->slot + 1);
    if (line->slot < wanted) return false;
    drop(line);
    return true;
  });
  for (std::uint32_t slot = known; slot < wanted; ++slot) add_line(gateway, slot);
  business_.expect(lines_.size());
}

void Dialler::failed(const LinePtr& line, const std::string& why, bool is_told) {
  if (stopped_ || line->dropped) return;
  const bool was_linked = std::exchange(line->linked, false);
  if (was_linked && now() - line->opened_at >= kStable) line->bound = kLeastDelay;
  // Once for each reason, until it goes well.
  const bool is_new = std::exchange(line->why, why) != why;
  if (is_new && !is_told) {
    hooks_.complain(fmt::format("no link to the gateway worker at {}: {}; it is tried again",
                                line->target.text, why));
  }
  ++line->attempt;
  retry_later(line);
  tried(line);
}

void Dialler::retry_later(const LinePtr& line) {
  const auto bound = line->bound.count();
  line->bound = std::min(line->bound * 2, kMostDelay);
  const milliseconds delay(std::uniform_int_distribution<std::int64_t>(bound / 2, bound)(random_));
  line->retry.expires_after(delay);
  line->retry.async_wait(
      [weak = weak_from_this(), line, attempt = line->attempt](const error_code& error) {
        const auto self = weak.lock();
        if (!error && self && !self->stopped_ && line->attempt == attempt) self->dial(line);
      });
}

void Dialler::tried(const LinePtr& line) {
  line->tried = true;
  const bool all = std::ranges::all_of(lines_, [](const LinePtr& each) { return each->tried; });
  if (all && !std::exchange(looked_, true)) hooks_.looked();
}

}  // namespace appserver::gateway
