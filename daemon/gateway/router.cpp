#include "gateway/router.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace appserver::gateway {

void Router::link_ready(LinkId link) {
  links_[link];
  for (auto& [client, route] : routes_) {
    if (route.link == 0) assign(client, route);
    pump(client, route);
  }
}

void Router::link_draining(LinkId link, Time now) {
  const auto found = links_.find(link);
  if (found == links_.end() || found->second.draining) return;
  found->second.draining = true;
  found->second.stalled.clear();
  if (ready_links() == 0) without_worker_ = now;
  for (auto& [client, route] : routes_) {
    if (route.link != link) continue;
    route.stalled = false;
    if (route.unacknowledged > 0) continue;
    assign(client, route);
    pump(client, route);
  }
}

void Router::link_gone(LinkId link, Time now) {
  const auto found = links_.find(link);
  if (found == links_.end()) return;
  const bool was_ready = !found->second.draining;
  std::deque<Given> given = std::move(found->second.given);
  links_.erase(found);
  if (was_ready && ready_links() == 0) without_worker_ = now;
  std::vector<Serial> orphans;
  for (auto& [client, route] : routes_) {
    if (route.link != link) continue;
    route.link = 0;
    route.unacknowledged = 0;
    route.stalled = false;
    orphans.push_back(client);
  }
  give_back(std::move(given), now);
  for (const Serial client : orphans) {
    const auto route = routes_.find(client);
    if (is_over(route->second)) {
      forget(route);
      continue;
    }
    assign(client, route->second);
    pump(client, route->second);
  }
}

bool Router::acknowledge(LinkId id, std::uint64_t number) {
  const auto found = links_.find(id);
  if (found == links_.end()) return false;
  Link& link = found->second;
  const std::uint64_t first = link.next_number - link.given.size();
  if (number < first || number >= link.next_number) return false;
  Given& given = link.given[static_cast<std::size_t>(number - first)];
  if (std::exchange(given.acknowledged, true)) return false;
  const Serial client = given.client;
  const bool was_last = given.event.kind == EventKind::close;
  given.event.body = {};
  link.bytes -= given.cost;
  --link.unacknowledged;
  while (!link.given.empty() && link.given.front().acknowledged) link.given.pop_front();

  const auto route = routes_.find(client);
  --route->second.unacknowledged;
  if (was_last) route->second.closed = true;
  if (is_over(route->second)) {
    forget(route);
  } else {
    if (link.draining && route->second.unacknowledged == 0) assign(client, route->second);
    pump(client, route->second);
  }
  pump_stalled(link);
  return true;
}

void Router::add(Serial client, Event event, Time now) {
  const auto [found, is_new] = routes_.try_emplace(client);
  Route& route = found->second;
  if (is_new) {
    assign(client, route);
    if (all_held_) sink_.hold(client, true);
  }
  if (!route.queue && may_be_given(route)) {
    give(client, route, std::move(event));
    return;
  }
  park(client, route, {std::move(event), now}, false);
  if (is_unheard_of(*route.queue)) {
    forget(found);
  } else {
    pump(client, route);
  }
}

void Router::expire(Time now) {
  if (ready_links() > 0 || without_worker_ + limits_.park_timeout > now) return;
  const std::vector<Serial> clients(waiting_.begin(), waiting_.end());
  for (const Serial client : clients) {
    const auto route = routes_.find(client);
    expire(client, route->second, now);
    if (route->second.queue && is_unheard_of(*route->second.queue)) forget(route);
  }
}

LinkId Router::link_of(Serial client) const {
  const auto found = routes_.find(client);
  return found == routes_.end() ? 0 : found->second.link;
}

std::size_t Router::unacknowledged(LinkId link) const {
  const auto found = links_.find(link);
  return found == links_.end() ? 0 : found->second.unacknowledged;
}

std::size_t Router::ready_links() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(links_, [](const auto& link) { return !link.second.draining; }));
}

bool Router::has_room(const Link& link) const {
  return link.unacknowledged < limits_.link_events && link.bytes < limits_.link_bytes;
}

bool Router::may_be_given(const Route& route) const {
  if (route.link == 0 || route.unacknowledged >= limits_.client_events) return false;
  const Link& link = links_.at(route.link);
  return !link.draining && has_room(link);
}

void Router::park(Serial client, Route& route, Waiting waiting, bool in_front) {
  if (!route.queue) {
    route.queue = std::make_unique<Queue>();
    waiting_.insert(client);
  }
  Queue& queue = *route.queue;
  const std::size_t bytes = cost(waiting.event);
  queue.bytes += bytes;
  parked_bytes_ += bytes;
  ++parked_events_;
  if (in_front) {
    queue.events.push_front(std::move(waiting));
  } else {
    queue.events.push_back(std::move(waiting));
  }
  if (queue.bytes >= limits_.client_bytes && !std::exchange(queue.held, true) && !all_held_)
    sink_.hold(client, true);
  if (parked_bytes_ >= limits_.parked_bytes && !all_held_) hold_all();
}

void Router::unpark(Serial client, Route& route, std::size_t events, std::size_t bytes) {
  route.queue->bytes -= bytes;
  parked_bytes_ -= bytes;
  parked_events_ -= events;
  if (route.queue->events.empty()) {
    const bool was_held = route.queue->held;
    route.queue.reset();
    waiting_.erase(client);
    if (was_held && !all_held_) sink_.hold(client, false);
  }
  if (all_held_ && parked_bytes_ < limits_.parked_bytes / 4 * 3) release_all();
}

void Router::expire(Serial client, Route& route, Time now) {
  auto& events = route.queue->events;
  std::size_t bytes = 0;
  const auto is_too_old = [&](const Waiting& waiting) {
    if (waiting.event.kind != EventKind::message) return false;
    if (std::max(waiting.since, without_worker_) + limits_.park_timeout > now) return false;
    bytes += cost(waiting.event);
    sink_.lost(client, waiting.event);
    return true;
  };
  const std::size_t lost = std::erase_if(events, is_too_old);
  if (lost > 0) unpark(client, route, lost, bytes);
}

bool Router::is_unheard_of(const Queue& queue) {
  return queue.events.size() == 2 && queue.events.front().event.kind == EventKind::connect &&
         !queue.events.front().event.redelivered &&
         queue.events.back().event.kind == EventKind::close;
}

void Router::forget(Routes::iterator route) {
  leave_link(route->second);
  if (route->second.queue) {
    const Queue& queue = *route->second.queue;
    parked_bytes_ -= queue.bytes;
    parked_events_ -= queue.events.size();
    waiting_.erase(route->first);
  }
  const Serial client = route->first;
  routes_.erase(route);
  sink_.over(client);
  if (all_held_ && parked_bytes_ < limits_.parked_bytes / 4 * 3) release_all();
}

void Router::hold_all() {
  all_held_ = true;
  for (auto& [client, route] : routes_) {
    if (!route.queue || !route.queue->held) sink_.hold(client, true);
  }
}

void Router::release_all() {
  all_held_ = false;
  for (auto& [client, route] : routes_) {
    if (!route.queue || !route.queue->held) sink_.hold(client, false);
  }
}

void Router::assign(Serial client, Route& route) {
  leave_link(route);
  std::vector<RoutePolicy::Candidate> candidates;
  for (const auto& [id, link] : links_) {
    if (!link.draining) candidates.push_back({id, link.clients, link.unacknowledged});
  }
  if (candidates.empty()) return;
  route.link = candidates[policy_.pick(candidates, client)].link;
  ++links_.at(route.link).clients;
  sink_.assign(route.link, client);
}

void Router::leave_link(Route& route) {
  const auto link = links_.find(std::exchange(route.link, 0));
  if (link != links_.end()) --link->second.clients;
}

void Router::pump(Serial client, Route& route) {
  if (!route.queue || route.link == 0 || route.stalled) return;
  Link& link = links_.at(route.link);
  // Else the acknowledgement of its own events is what it waits for.
  if (link.draining || route.unacknowledged >= limits_.client_events) return;
  route.stalled = true;
  link.stalled.push_back(client);
  pump_stalled(link);
}

void Router::pump_stalled(Link& link) {
  // An event a turn: a client of whom much waits holds up none of the others.
  while (!link.stalled.empty() && has_room(link)) {
    const Serial client = link.stalled.front();
    link.stalled.pop_front();
    const auto found = routes_.find(client);
    // It has left, or stands here from before it was somebody else's.
    if (found == routes_.end() || !found->second.stalled || &links_.at(found->second.link) != &link)
      continue;
    Route& route = found->second;
    Event event = std::move(route.queue->events.front().event);
    route.queue->events.pop_front();
    unpark(client, route, 1, cost(event));
    give(client, route, std::move(event));
    route.stalled = route.queue && route.unacknowledged < limits_.client_events;
    if (route.stalled) link.stalled.push_back(client);
  }
}

void Router::give(Serial client, Route& route, Event event) {
  Link& link = links_.at(route.link);
  const std::uint64_t number = link.next_number++;
  sink_.deliver(route.link, number, client, event);
  const std::size_t bytes = cost(event);
  if (!limits_.at_least_once && event.kind == EventKind::message) event.body = {};
  link.given.push_back({client, std::move(event), bytes});
  ++link.unacknowledged;
  link.bytes += bytes;
  ++route.unacknowledged;
}

void Router::give_back(std::deque<Given> given, Time now) {
  for (auto each = given.rbegin(); each != given.rend(); ++each) {
    if (each->acknowledged) continue;
    const auto route = routes_.find(each->client);
    Event& event = each->event;
    if (event.kind == EventKind::message && !limits_.at_least_once) {
      sink_.lost(each->client, event);
      continue;
    }
    event.redelivered = true;
    park(each->client, route->second, {std::move(event), now}, true);
  }
}

std::size_t LeastLoaded::pick(const std::vector<Candidate>& candidates, Serial client) {
  static_cast<void>(client);
  const auto least = std::ranges::min_element(candidates, {}, [](const Candidate& each) {
    return std::tuple(each.clients, each.unacknowledged, each.link);
  });
  return static_cast<std::size_t>(least - candidates.begin());
}

}  // namespace appserver::gateway
