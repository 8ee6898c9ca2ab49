// The addresses of a worker's group, as its connections know them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "net/stream_listener.hpp"

namespace appserver::worker {

class Listeners final {
 public:
  using Listener = std::shared_ptr<const net::StreamListener>;

  // `tls`: of a group that uses it; else null.
  Listeners(const config::Group& group, const std::shared_ptr<const net::tls::Server>& tls);

  // Of the sockets that a slot brings, in their order; those that another slot lends are TCP
  // sockets alone.
  std::vector<Listener> of_sockets(bool lent) const;
  // By the configuration's text, for a connection that a predecessor has moved; it may have come in
  // at an address that this release does not listen on any more. Null for an empty text, and for an
  // address of TLS where the group has none any more.
  Listener of_handed(const std::string& text) const;

 private:
  const config::Group& group_;
  const std::shared_ptr<const net::tls::Server> tls_;
  std::map<std::string, Listener, std::less<>> by_text_;
  std::vector<Listener> links_;  // where business workers of other daemons come in
};

}  // namespace appserver::worker
