// What the ends of a link between daemons show to each other.
#pragma once

#include <memory>

#include "certificates/material.hpp"
#include "net/tls/context.hpp"

namespace appserver::gateway {

// Values that never change; with newer files come other ones, for links that begin from then on.
struct LinkKeys {
  certificates::Secret secret;                            // empty: it could not be read
  std::shared_ptr<const net::tls::ServerContext> server;  // of a gateway under TLS, or null
  std::shared_ptr<const net::tls::ClientContext> client;  // of a business worker, alike
};

using LinkKeysPtr = std::shared_ptr<const LinkKeys>;

}  // namespace appserver::gateway
