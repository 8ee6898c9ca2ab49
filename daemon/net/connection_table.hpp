// The connections of one kind that a worker has, by number.
#pragma once

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "net/turn_budget.hpp"

namespace appserver::net {

// Item is a Connection with a run_scheduled(). All on the loop's thread.
template <class Item>
class ConnectionTable final {
 public:
  // An id is a connection's place in the table under a count that makes it unique for the worker's
  // life.
  static constexpr unsigned kIndexBits = 20;
  static constexpr std::size_t kMost = std::size_t{1} << kIndexBits;

  // Scheduled turns before the loop looks at its events: as many as it takes events at a time.
  static constexpr std::size_t kTurnsAtATime = 128;

  explicit ConnectionTable(boost::asio::io_context& context)
      : context_(context), budget_(context) {}
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  bool is_full() const { return free_.empty() && items_.size() >= kMost; }

  // `make(index)` gives the new connection; not while the table is full.
  template <class Make>
  Item& add(Make&& make) {
    std::uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(items_.size());
      items_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    items_[index] = make(index);
    ++count_;
    return *items_[index];
  }

  // It has ended: it counts no more, though it is there until remove().
  void ended() { --count_; }
  void remove(std::uint32_t index) {
    items_[index].reset();
    free_.push_back(index);
  }

  std::size_t count() const { return count_; }
  // Null where nothing is at the place that the id names; whether that is the id's is for the
  // caller.
  Item* at(std::uint64_t id) {
    const std::size_t index = id & (kMost - 1);
    return index < items_.size() ? items_[index].get() : nullptr;
  }
  std::uint64_t next_id(std::uint32_t index) { return (++ids_ << kIndexBits) | index; }

  // Calls it for each that has not ended, also those that come meanwhile.
  template <class Call>
  void each(Call&& call) {
    for (std::size_t index = 0; index < items_.size(); ++index) {
      if (items_[index] && !items_[index]->is_closed()) call(*items_[index]);
    }
  }

  // A turn that no event of its socket begins, soon, in the order of these calls.
  void schedule(Item& item) { add_to(turns_, item); }
  // The same of one that will do a piece of work: one such turn each, as far as budget() allows,
  // and then the loop looks at its events.
  void schedule_work(Item& item) { add_to(work_, item); }
  // Of one that has begun something and holds memory for it: before all others.
  void schedule_begun_work(Item& item) {
    if (item.is_scheduled()) return;
    item.set_scheduled(true);
    work_.push_front(&item);
    post();
  }
  // Some wait to do a piece of work: others are to wait behind them.
  bool has_work() const { return !work_.empty(); }

  TurnBudget& budget() { return budget_; }

 private:
  using Queue = std::deque<Item*>;

  void add_to(Queue& queue, Item& item) {
    if (item.is_scheduled()) return;
    item.set_scheduled(true);
    queue.push_back(&item);
    post();
  }

  void post() {
    if (!std::exchange(posted_, true)) boost::asio::post(context_, [this] { run_scheduled(); });
  }

  void run_scheduled() {
    posted_ = false;
    budget_.begin_turn();
    for (std::size_t left = work_.size(); left > 0 && !budget_.is_spent(); --left) run_next(work_);
    // What the others and the next events bring has a budget of its own.
    budget_.begin_turn();
    for (std::size_t left = std::min(turns_.size(), kTurnsAtATime); left > 0; --left)
      run_next(turns_);
    if (!turns_.empty() || !work_.empty()) post();
  }

  static void run_next(Queue& queue) {
    Item* const item = queue.front();
    queue.pop_front();
    item->set_scheduled(false);
    item->run_scheduled();
  }

  boost::asio::io_context& context_;
  std::vector<std::unique_ptr<Item>> items_;
  std::vector<std::uint32_t> free_;
  Queue turns_;
  Queue work_;
  TurnBudget budget_;
  std::size_t count_ = 0;
  std::uint64_t ids_ = 0;
  bool posted_ = false;
};

}  // namespace appserver::net
