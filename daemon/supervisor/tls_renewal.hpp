// Looks at the certificate files of the groups from time to time, and brings what is new and good
// to their workers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "supervisor/archive_keeper.hpp"
#include "supervisor/tls_files.hpp"

namespace appserver::supervisor {

// On the supervisor's loop; files are read on the keeper's thread.
class TlsRenewal final {
 public:
  struct InUse {
    std::string group;
    config::Tls tls;
    TlsMaterialPtr material;
  };
  struct Hooks {
    // What runs under TLS.
    std::function<std::vector<InUse>()> in_use;
    // The files have changed; what can be served of them may still be what it was (as_before).
    std::function<void(const InUse& before, TlsMaterialPtr)> renewed;
    // For want of memory or descriptors; once for each reason. What was in use stays so.
    std::function<void(const InUse& before, const std::string& why)> failed;
    // After each look, whatever came of it: also time alone makes a certificate expire.
    std::function<void()> looked;
  };

  static constexpr std::chrono::seconds kInterval{10};

  // `keeper` outlives it.
  TlsRenewal(boost::asio::io_context& io, ArchiveKeeper& keeper, Hooks hooks);
  TlsRenewal(const TlsRenewal&) = delete;
  TlsRenewal& operator=(const TlsRenewal&) = delete;
  ~TlsRenewal();

  // Now, and then each kInterval.
  void look();
  void stop();

 private:
  struct Look;
  void wait();
  void looked(const Look& look);

  boost::asio::steady_timer timer_;
  ArchiveKeeper& keeper_;
  Hooks hooks_;
  std::map<std::string, std::string> failed_;  // why, by group and secret_file
  bool looking_ = false;
  bool again_ = false;
  bool stopped_ = false;
  // Handlers that come after this object is gone find it empty.
  std::shared_ptr<TlsRenewal*> alive_ = std::make_shared<TlsRenewal*>(this);
};

}  // namespace appserver::supervisor
