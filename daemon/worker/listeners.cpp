#include "worker/listeners.hpp"

#include <utility>

namespace appserver::worker {
namespace {

using Tls = std::shared_ptr<const net::tls::Server>;

net::stream::Framing framing_of(std::string_view scheme) {
  if (scheme == "text") return net::stream::Framing::text;
  if (scheme == "frame") return net::stream::Framing::frame;
  return net::stream::Framing::raw;
}

// `scheme`: what is spoken, within TLS or without.
Listeners::Listener make_listener(const config::Group& group, const std::string& text,
                                  std::string_view scheme, Tls tls) {
  net::StreamListener listener{text, std::string(scheme), framing_of(scheme)};
  listener.tls = std::move(tls);
  listener.behind_proxy = group.proxy_protocol.enabled;
  listener.only_websockets = scheme == "ws";
  listener.is_udp = scheme == "udp";
  listener.begins_with_http = scheme == "http" || listener.only_websockets;
  if (listener.begins_with_http) listener.protocol = "websocket";
  return std::make_shared<const net::StreamListener>(std::move(listener));
}

}  // namespace

Listeners::Listeners(const config::Group& group, const Tls& tls) : group_(group), tls_(tls) {
  for (const config::Listen& first : group.link.listen) {
    net::StreamListener listener{first.text, "link", net::stream::Framing::raw};
    listener.is_link = true;
    listener.is_link_under_tls = first.is_tls();
    links_.push_back(std::make_shared<const net::StreamListener>(std::move(listener)));
  }
  for (const config::Listen& listen : group.listen) {
    by_text_.emplace(listen.text, make_listener(group, listen.text, listen.plain_scheme(),
                                                listen.is_tls() ? tls : nullptr));
  }
}

std::vector<Listeners::Listener> Listeners::of_sockets(bool lent) const {
  std::vector<Listener> result;
  for (const config::Listen& listen : group_.listen) {
    if (!lent || !listen.is_unix()) result.push_back(by_text_.at(listen.text));
  }
  if (!lent) result.insert(result.end(), links_.begin(), links_.end());
  return result;
}

Listeners::Listener Listeners::of_handed(const std::string& text) const {
  if (text.empty()) return nullptr;
  const auto known = by_text_.find(text);
  if (known != by_text_.end()) return known->second;
  config::Listen gone;
  gone.scheme = text.substr(0, text.find("://"));
  if (gone.is_tls() && tls_ == nullptr) return nullptr;
  return make_listener(group_, text, gone.plain_scheme(), gone.is_tls() ? tls_ : nullptr);
}

}  // namespace appserver::worker
