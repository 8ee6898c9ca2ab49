#include "gateway/link_door.hpp"

#include <fmt/format.h>

#include <exception>
#include <stdexcept>
#include <utility>

#include "net/peer_name.hpp"

namespace appserver::gateway {

void LinkDoor::accept(os::Fd connection, bool under_tls) {
  if (closed_) return;
  const std::string name = net::peer_name(connection.get());
  try {
    open(std::move(connection), under_tls, name);
  } catch (const std::exception& error) {
    hooks_.complain(fmt::format("a link from {} is refused: {}", name, error.what()));
  }
}

void LinkDoor::open(os::Fd connection, bool under_tls, const std::string& name) {
  if (!keys_ || keys_->secret.text.empty())
    throw std::runtime_error("the secret_file of the link could not be read");
  if (under_tls && !keys_->server)
    throw std::runtime_error("the link has no certificate that is good");
  if (openings_.size() >= kMostOpenings) {
    openings_.front()->abandon();
    openings_.pop_front();
    hooks_.complain(
        fmt::format("more than {} connections at the address of the link have not "
                    "proved who they are; the oldest is closed",
                    kMostOpenings));
  }
  auto opening =
      std::make_shared<LinkOpening>(context_, std::move(connection), Role::gateway, keys_);
  std::unique_ptr<net::tls::Session> tls;
  if (under_tls) tls = net::tls::Session::accept(keys_->server, opening->handle(), {});
  const auto place = openings_.insert(openings_.end(), opening);
  opening->start(std::move(tls), [this, place, name](LinkSocket* socket, const std::string& why) {
    openings_.erase(place);
    if (socket != nullptr) return hooks_.opened(std::move(*socket));
    hooks_.complain(fmt::format("a link from {} is refused: {}", name, why));
  });
}

void LinkDoor::close() {
  closed_ = true;
  for (const auto& opening : openings_) opening->abandon();
  openings_.clear();
}

}  // namespace appserver::gateway
