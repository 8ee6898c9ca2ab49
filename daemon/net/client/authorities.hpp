// Whom outbound TLS trusts.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "net/tls/context.hpp"

namespace appserver::net::client {

// Keeps what it has read, as long as the files stay what they were.
class Authorities final {
 public:
  // `file`: certificates in PEM; empty: those that the system trusts. `alpn`: the protocol that is
  // spoken; empty: one without a name. Throws CallError that names the file.
  std::shared_ptr<const tls::ClientContext> context(const std::string& file,
                                                    const std::string& alpn = "http/1.1");

 private:
  struct Read {
    std::filesystem::file_time_type changed{};
    std::shared_ptr<const tls::ClientContext> context;
  };
  std::map<std::pair<std::string, std::string>, Read> read_;  // by file and protocol
};

}  // namespace appserver::net::client
