// The connections of one kind that a worker has, by number.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace appserver::net {

// Item is a Connection with a run_scheduled(). All on the loop's thread.
template <class Item>
class ConnectionTable final {
 public:
  // An id is a connection's place in the table under a count that makes it unique for the worker's
  // life.
  static constexpr unsigned kIndexBits = 20;
  static constexpr std::size_t kMost = std::size_t{1} << kIndexBits;

  explicit ConnectionTable(boost::asio::io_context& context) : context_(context) {}
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

  // A turn that no event of its socket begins, before the loop waits again.
  void schedule(Item& item) {
    if (item.is_scheduled()) return;
    item.set_scheduled(true);
    scheduled_.push_back(&item);
    if (!std::exchange(posted_, true)) boost::asio::post(context_, [this] { run_scheduled(); });
  }

 private:
  void run_scheduled() {
    posted_ = false;
    const std::vector<Item*> batch = std::exchange(scheduled_, {});
    for (Item* const item : batch) {
      item->set_scheduled(false);
      item->run_scheduled();
    }
  }

  boost::asio::io_context& context_;
  std::vector<std::unique_ptr<Item>> items_;
  std::vector<std::uint32_t> free_;
  std::vector<Item*> scheduled_;
  std::size_t count_ = 0;
  std::uint64_t ids_ = 0;
  bool posted_ = false;
};

}  // namespace appserver::net
