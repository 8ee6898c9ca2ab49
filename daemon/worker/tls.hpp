// What a worker's TLS addresses serve with, from what the supervisor has read.
#pragma once

#include <memory>

#include "config/config.hpp"
#include "net/stream_listener.hpp"
#include "net/tls/session.hpp"
#include "os/fd.hpp"

namespace appserver::worker {

// `file`: a certificates::Material in a sealed memory file. Throws std::exception where it does not
// serve.
std::shared_ptr<const net::tls::ServerContext> make_tls_context(const config::Tls& tls,
                                                                const os::Fd& file);

// Of a connection that came in at `listener`, whose handshake is to come. Throws
// std::runtime_error. Null without TLS.
std::unique_ptr<net::tls::Session> accept_tls(const net::StreamListener& listener, int socket);

}  // namespace appserver::worker
