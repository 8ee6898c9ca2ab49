#include "supervisor/listeners.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "supervisor/listen_socket.hpp"

namespace appserver::supervisor {
namespace {

constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);

}  // namespace

Listeners::Listeners(const config::Group& group, std::uint32_t slots) { extend(group, slots); }

// The place of each in addresses_. Port 0 may stand twice, as two addresses of one text.
std::vector<std::size_t> Listeners::find(const std::vector<config::Listen>& listen) const {
  std::vector<std::size_t> places;
  for (const config::Listen& wanted : listen) {
    std::size_t place = 0;
    while (place < addresses_.size() &&
           (addresses_[place].listen.text != wanted.text ||
            addresses_[place].listen.link_slot != wanted.link_slot ||
            std::find(places.begin(), places.end(), place) != places.end()))
      ++place;
    places.push_back(place < addresses_.size() ? place : kAbsent);
  }
  return places;
}

void Listeners::bind(Address& address, const config::Group& group, std::uint32_t slots) {
  const config::Listen& listen = address.listen;
  if (address.shared && !address.sockets.empty()) return;
  if (listen.is_unix()) {
    os::NamedSocket bound = bind_unix(listen, group);
    address.name = std::move(bound.name);
    address.sockets.push_back(std::move(bound.socket));
    return;
  }
  if (address.sockets.empty()) ensure_free(listen);
  while (address.sockets.size() < (address.shared ? 1 : slots)) {
    address.sockets.push_back(listen.is_udp() ? bind_udp(listen, address.port)
                                              : bind_tcp(listen, address.port));
    if (address.port == 0) address.port = bound_port(address.sockets.front());
  }
  address.text = address_text(listen, address.port);
}

void Listeners::grow(const config::Group& group, std::uint32_t slots) {
  const std::vector<config::Listen> wanted = group.addresses();
  const std::vector<std::size_t> places = find(wanted);
  std::vector<std::pair<std::size_t, std::size_t>> added;  // address, its first new socket
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::size_t place = places[i];
    if (place == kAbsent) {
      place = addresses_.size();
      Address& address = addresses_.emplace_back();
      address.listen = wanted[i];
      address.text = address.listen.text;
      address.port = address.listen.port;
      address.shared = address.listen.is_unix() || address.listen.link_slot;
    }
    added.emplace_back(place, addresses_[place].sockets.size());
    bind(addresses_[place], group, slots);
  }
  // All are bound before one listens: what fails until then has taken no client.
  for (const auto& [place, first] : added) {
    const Address& address = addresses_[place];
    for (std::size_t slot = first; slot < address.sockets.size(); ++slot)
      start_listening(address.sockets[slot], address.listen);
  }
  feed(std::max(fed_, slots));
}

void Listeners::extend(const config::Group& group, std::uint32_t slots) {
  std::vector<std::size_t> before;
  for (const Address& address : addresses_) before.push_back(address.sockets.size());
  try {
    grow(group, slots);
  } catch (...) {
    addresses_.erase(addresses_.begin() + static_cast<std::ptrdiff_t>(before.size()),
                     addresses_.end());
    for (std::size_t i = 0; i < before.size(); ++i)
      while (addresses_[i].sockets.size() > before[i]) addresses_[i].sockets.pop_back();
    throw;
  }
  slots_ = std::max(slots_, slots);
  fed_ = std::max(fed_, slots);
}

void Listeners::keep_only(const config::Group& group) {
  std::vector<Address> kept;
  for (const std::size_t place : find(group.addresses()))
    if (place != kAbsent) kept.push_back(std::move(addresses_[place]));
  addresses_ = std::move(kept);
}

// Sets the kernel's filter where it is another than it should be.
void Listeners::feed(std::uint32_t slots) {
  for (Address& address : addresses_) {
    if (address.shared || address.sockets.empty()) continue;
    const std::uint32_t wanted = slots < address.sockets.size() ? slots : 0;
    if (address.fed == wanted) continue;
    if (wanted == 0)
      give_to_all(address.sockets.front(), address.listen);
    else
      give_only_to(address.sockets.front(), wanted, address.listen);
    address.fed = wanted;
  }
}

void Listeners::retire(std::uint32_t slots) {
  if (slots == 0) throw std::invalid_argument("a group's connections need a slot to go to");
  feed(slots);
  fed_ = std::min(slots, slots_);
}

void Listeners::close_retired(std::uint32_t slots) {
  for (Address& address : addresses_) {
    if (address.shared) continue;
    for (; address.sockets.size() > slots; address.sockets.pop_back()) {
      if (address.listen.is_udp()) take_no_more_datagrams(address.sockets.back());
    }
  }
  slots_ = std::min(slots_, slots);
  fed_ = std::min(fed_, slots_);
  feed(fed_);
}

std::vector<int> Listeners::of_slot(std::uint32_t slot,
                                    const std::vector<config::Listen>& listen) const {
  std::vector<int> result;
  for (const std::size_t place : find(listen)) {
    if (place == kAbsent) continue;
    const Address& address = addresses_[place];
    if (address.listen.link_slot.value_or(slot) != slot) continue;
    const std::size_t index = address.shared ? 0 : slot;
    if (index < address.sockets.size()) result.push_back(address.sockets[index].get());
  }
  return result;
}

std::vector<int> Listeners::to_lend(std::uint32_t slot) const {
  std::vector<int> result;
  for (const Address& address : addresses_)
    if (!address.shared && slot < address.sockets.size())
      result.push_back(address.sockets[slot].get());
  return result;
}

std::vector<std::string> Listeners::addresses() const {
  std::vector<std::string> result;
  for (const Address& address : addresses_) result.push_back(address.text);
  return result;
}

void Listeners::close() {
  for (Address& address : addresses_) {
    address.sockets.clear();
    address.name.remove();
    address.fed = 0;
  }
}

}  // namespace appserver::supervisor
