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
    std::function<void(const InUse& before, TlsMaterialPtr)> renewed;
    // Once for each change of the files; what was in use stays so.
    std::function<void(const InUse& before, const std::string& why)> refused;
    // The files are again what is in use, and not what was refused.
    std::function<void(const std::string& group)> withdrawn;
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
  struct Refused {
    std::vector<FileState> files;  // not to be read again; none: they may be good the next time
    std::string why;
  };

  void wait();
  void looked(const Look& look);

  boost::asio::steady_timer timer_;
  ArchiveKeeper& keeper_;
  Hooks hooks_;
  std::map<std::string, Refused> refused_;  // by group
  bool looking_ = false;
  bool again_ = false;
  bool stopped_ = false;
  // Handlers that come after this object is gone find it empty.
  std::shared_ptr<TlsRenewal*> alive_ = std::make_shared<TlsRenewal*>(this);
};

}  // namespace appserver::supervisor
