// Connects a business worker to the gateway workers of other daemons, and connects it again where
// that fails or ends.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gateway/business.hpp"
#include "gateway/link_keys.hpp"
#include "gateway/link_opening.hpp"
#include "net/client/target.hpp"
#include "net/client/transport.hpp"

namespace appserver::gateway {

// A gateway worker's address.
struct DialTarget {
  net::client::Target target;
  std::string text;  // for people
};

// On the loop's thread. Lives until its coroutines are through, whoever else holds it.
class Dialler final : public std::enable_shared_from_this<Dialler> {
 public:
  // For a name, its addresses, and a connection; the rest has LinkOpening::kPatience.
  static constexpr std::chrono::seconds kConnectPatience{5};
  // Between two attempts at one address: anything from a half to the whole of a bound that doubles
  // from the least to the most, so that many who lost one gateway do not come back at once. A link
  // that has lived for kStable begins anew.
  static constexpr std::chrono::milliseconds kLeastDelay{250};
  static constexpr std::chrono::milliseconds kMostDelay{10'000};
  static constexpr std::chrono::seconds kStable{10};
  // Workers of one gateway group that are looked for.
  static constexpr std::uint32_t kMostWorkers = 1024;

  struct Options {
    std::size_t gateways = 1;  // whose addresses are known, each of the worker of slot 0
    // Nullopt: there can be none.
    std::function<std::optional<DialTarget>(std::size_t gateway, std::uint32_t slot)> find;
    std::string server_name;  // that certificates are for; empty: the host's
    milliseconds timeout{30'000};
  };
  struct Hooks {
    std::function<void(const std::string& what)> complain;
    std::function<void(const std::string& what)> note;
    // Each known address has been tried once, and each that was told of meanwhile.
    std::function<void()> looked;
  };

  // `business` outlives stop(). `keys` may be null until renew().
  Dialler(boost::asio::io_context& context, Business& business, Options options, LinkKeysPtr keys,
          Hooks hooks);
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  void start();
  void renew(LinkKeysPtr keys) { keys_ = std::move(keys); }
  // Nothing is connected any more; links that there are stay.
  void stop();

  std::size_t wanted() const { return lines_.size(); }
  std::size_t linked() const;

 private:
  struct Line;
  using LinePtr = std::shared_ptr<Line>;

  void add_line(std::size_t gateway, std::uint32_t slot);
  void dial(const LinePtr& line);
  net::client::Work<> connect(std::shared_ptr<Dialler> self, LinePtr line, std::uint64_t attempt);
  void connected(const LinePtr& line, os::Fd socket);
  void authenticated(const LinePtr& line, LinkSocket socket);
  void opened(const LinePtr& line, const Hello& peer);
  void resized(std::size_t gateway, std::uint32_t workers);
  void failed(const LinePtr& line, const std::string& why, bool is_told);
  void retry_later(const LinePtr& line);
  void drop(const LinePtr& line);
  void tried(const LinePtr& line);

  boost::asio::io_context& context_;
  Business& business_;
  Options options_;
  LinkKeysPtr keys_;
  Hooks hooks_;
  std::vector<LinePtr> lines_;
  std::minstd_rand random_{std::random_device{}()};
  bool looked_ = false;
  bool stopped_ = false;
};

}  // namespace appserver::gateway
